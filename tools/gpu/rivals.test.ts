import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { findProgram } from '../find-program.mjs'
import { collect, parseRows, toMarkdown } from './report.mjs'
import { againstRivals } from './rivals.mjs'

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const rows = parseRows(readFileSync(pathOf('fixtures/made-up-rivals.jsonl'), 'utf8'))
const named = (rival: string, list = againstRivals(rows)) => list.filter((row) => row.rival === rival)

test('a rival is held against the row of its shape, by the ratio of times', () => {
  expect(named('torch index_select + SDPA')).toMatchObject([
    { ownMicros: 25, ratio: 4, gate: 3, goal: 6, verdict: 'gate' },
  ])
  expect(named('torch SDPA flash')[0]).toMatchObject({ ratio: 0.95, verdict: 'goal' })
})

test('a rival without a target is a number', () => {
  const [row] = named('torch SDPA')
  expect(row).toMatchObject({ ratio: 2 })
  expect(row).not.toHaveProperty('verdict')
})

test('a shape that only the rival ran has no ratio', () => {
  expect(named('torch SDPA')[1]).toMatchObject({ why: 'this library did not run it' })
  expect(named('torch SDPA')[1]).not.toHaveProperty('ratio')
})

test('what a target asks for and did not run says why', () => {
  expect(named('torch SDPA flash')[1]).toMatchObject({ shape: '32/8/128, 32768 tokens', why: 'RuntimeError: made up' })
  expect(named('FlashInfer')).toEqual([
    {
      kind: 'rival',
      rival: 'FlashInfer',
      family: 'decode',
      shape: '32/8/128, 4096 tokens x 8, runs of 16',
      why: 'FlashInfer is not there',
    },
  ])
  const without = rows.filter((row) => row.step !== 'rivals')
  expect(named('torch SDPA flash', againstRivals(without))[0]).toMatchObject({ why: 'the step was left out' })
  const step = { step: 'rivals', kind: 'step', code: 3, seconds: 0, last: 'not run (no torch: ModuleNotFoundError)' }
  for (const row of againstRivals([...without, step])) expect(row.why).toBe('no torch: ModuleNotFoundError')
})

test('the page shows ratios and what did not run, and verdicts count', () => {
  const results = collect(rows)
  expect(results.verdicts).toMatchObject({ goal: 1, gate: 4, missed: 0 })
  const page = toMarkdown(results)
  expect(page).toContain(
    '| choose and attend: 32/8/128, 1024 of 131072 tokens x 1 | torch index_select + SDPA | 100 | 25 | 4 | 3 | 6 | gate |',
  )
  expect(page).toContain('| FlashInfer |  |  | not run (FlashInfer is not there) |')
})

const python = findProgram('python3')

test('the script compiles, and without torch says that it did not run', (context) => {
  if (!python) context.skip('no python3')
  const script = pathOf('rivals.py')
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-rivals-'))
  try {
    const compiled = spawnSync(python!, ['-m', 'py_compile', script], {
      env: { ...process.env, PYTHONPYCACHEPREFIX: folder },
    })
    expect(compiled.status, String(compiled.stderr)).toBe(0)
    // Isolated, without packages: a torch that is installed is not found.
    const run = spawnSync(python!, ['-I', '-S', '-B', script, '--rows', join(folder, 'rows.jsonl')], {
      encoding: 'utf8',
    })
    expect(run.stdout).toBe('not run (no torch: ModuleNotFoundError)\n')
    expect(run.status).toBe(3)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
