import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { expect, test } from 'vitest'
import type { CaseResult } from './case-run.ts'
import type { EvalCase, QuestionCase } from './eval-case.ts'
import { evaluate } from './evaluate.ts'
import { parsePolicySpec, planArms } from './policy-spec.ts'
import { WorkerError } from './worker-pool.ts'

const execArgv = ['--conditions=@kvasir/source', '--import', 'tsx']
const arms = planArms(['window', 'sentence-kv'].map(parsePolicySpec), [40])

function caseOf(id: string, color: string): QuestionCase {
  const context = `In ${id} all doors are ${color}. The well is deep, and the road is long. Nobody came. `.repeat(3)
  const questions = [{ text: '\nWhich color?', answerPrefix: ' It is', answers: [color], maxNewTokens: 3 }]
  const key = { suite: 'niah', length: 64, mode: 'A', rule: 'all' } as const
  return { ...key, id, fields: { kind: 'fact' }, context, needles: [{ start: 3, end: 20 }], questions }
}
const cases = [caseOf('Ulm', 'green'), caseOf('Rye', 'white'), caseOf('Bath', 'black')]

async function collect(options: { cases?: readonly EvalCase[]; numWorkers?: number; execArgv?: readonly string[] }) {
  const results: CaseResult[] = []
  const onResults = (some: readonly CaseResult[]) => results.push(...some)
  await evaluate({ cases, arms, model: modelPath, execArgv, ...options, onResults })
  return results.sort((a, b) => (a.id + a.policy < b.id + b.policy ? -1 : 1))
}

test('two workers give the bits that none gives', { timeout: 120_000 }, async () => {
  const alone = await collect({})
  expect(alone).toHaveLength(6)
  expect(await collect({ numWorkers: 2 })).toEqual(alone)
})

test('what is done is not done again, and progress ends with all cases', { timeout: 60_000 }, async () => {
  const seen: string[] = []
  const progress: number[] = []
  await evaluate({
    cases,
    arms,
    model: modelPath,
    isDone: ({ id, policy }) => id === 'Rye' || policy === 'window',
    onResults: (some) => seen.push(...some.map(({ id, policy }) => `${id} ${policy}`)),
    onProgress: ({ done }) => progress.push(done),
  })
  expect(seen).toEqual(['Ulm sentence-kv', 'Bath sentence-kv'])
  expect(progress[0]).toBe(1)
  expect(progress.at(-1)).toBe(3)
})

test('a case that cannot run is named, and the others end theirs', { timeout: 60_000 }, async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'kvasir-short-')), 'short.txt')
  writeFileSync(path, 'Too short.')
  const broken = { suite: 'windows', id: 'short', length: 64, mode: null, path, anchor: 4 } as const
  const run = collect({ cases: [broken, ...cases], numWorkers: 2 })
  await expect(run).rejects.toThrow(WorkerError)
  await expect(run).rejects.toThrow(/case short of windows at 64.*tokens of context that window short has/)
})

test('a worker that dies is named with its case', { timeout: 60_000 }, async () => {
  const killer = `const { emit } = process
    process.emit = function (...event) {
      if (event[1]?.task?.case.id === 'Rye') process.kill(process.pid, 'SIGKILL')
      return emit.apply(this, event)
    }`
  const flags = [...execArgv, '--import', `data:text/javascript,${encodeURIComponent(killer)}`]
  const done: string[] = []
  const run = evaluate({
    cases,
    arms,
    model: modelPath,
    numWorkers: 2,
    execArgv: flags,
    onResults: ([{ id }]) => done.push(id),
  })
  await expect(run).rejects.toThrow(/case Rye of niah at 64: .*ended with SIGKILL/)
  expect(done[0]).toBe('Ulm')
  expect(done).not.toContain('Rye')
})

test('where results cannot be taken, the run ends, and no case begins any more', { timeout: 60_000 }, async () => {
  let taken = 0
  const run = evaluate({
    cases: [...cases, ...cases.map((one) => ({ ...one, id: `${one.id} again` }))],
    arms,
    model: modelPath,
    numWorkers: 2,
    execArgv,
    onResults: () => {
      taken++
      throw new Error('the disk is full')
    },
  })
  await expect(run).rejects.toThrow('the disk is full')
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect(taken).toBe(1)
})

test('an abort ends the workers at once', { timeout: 60_000 }, async () => {
  const controller = new AbortController()
  const onProgress = () => controller.abort(new Error('enough'))
  const run = evaluate({
    cases,
    arms,
    model: modelPath,
    numWorkers: 2,
    execArgv,
    onResults: () => {},
    onProgress,
    signal: controller.signal,
  })
  await expect(run).rejects.toThrow('enough')
})
