import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvasirError } from '@kvasir/core'
import { summarise, summaryJson } from '@kvasir/eval'
import { afterEach, expect, test } from 'vitest'
import { parseResults, readResults } from './results.ts'
import { sampleRun, sampleWindows } from './testing/sample.ts'
import { writeReport } from './write-report.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvasir-results-'))
const put = (name: string, text: string) => writeFileSync(join(folder, name), text)

afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
})

const rows = sampleWindows({ policies: ['full', 'window'], budgets: [64], numCases: 2 })
const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('')

test('reads what a run wrote, and without a summary computes the same one', () => {
  put('results.jsonl', `${lines}{"suite":"windows","pol`)
  put('run.json', JSON.stringify(sampleRun))
  const { cases, groups, run } = readResults(folder)
  expect(cases).toHaveLength(4)
  expect(cases[0]).toMatchObject({ suite: 'windows', policy: 'full', budget: null, numbers: { klNats: 0 } })
  expect(run).toEqual(sampleRun)
  put('summary.json', JSON.stringify(summarise(rows as never).map(summaryJson)))
  const again = readResults(folder)
  expect(groups.map(({ estimates }) => estimates)).toEqual(
    again.groups.map(({ estimates }) => expect.objectContaining(estimates)),
  )
  expect(again.groups[1]).toMatchObject({
    policy: 'window',
    budget: 64,
    n: 2,
    estimates: { klNats: { ci95: expect.any(Array) } },
  })
})

test('a folder without results is refused', () => {
  expect(() => readResults(folder)).toThrow(KvasirError)
  expect(() => writeReport(folder)).toThrow(/results\.jsonl/)
})

test('what is not a result is left out, what is missing is missing', () => {
  const { cases, groups } = parseResults([null, 3, [], { suite: 'x' }, { suite: 'x', policy: 'p' }], null)
  expect(cases).toEqual([
    { suite: 'x', policy: 'p', id: '', length: 0, budget: null, mode: null, numbers: {}, texts: {}, curves: {} },
  ])
  expect(groups).toEqual([{ suite: 'x', policy: 'p', length: 0, budget: null, mode: null, n: 1, estimates: {} }])
})

test('booleans count as 0 and 1; null, text and infinity are no numbers', () => {
  const values = { correct: true, accepted: false, depth: null, reply: 'yes', hotBytes: Infinity }
  const [row] = parseResults([{ suite: 'x', policy: 'p', ...values }], null).cases
  expect(row.numbers).toEqual({ correct: 1, accepted: 0 })
  expect(row.texts).toEqual({ reply: 'yes' })
})

test('the report stands in the folder, and nothing is left of its draft', () => {
  put('results.jsonl', lines)
  expect(writeReport(folder)).toBe(join(folder, 'report.html'))
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('<h2>windows:')
  expect(readdirSync(folder).sort()).toEqual(['report.html', 'results.jsonl'])
})
