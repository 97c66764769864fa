import { expect, test } from 'vitest'
import { collect, latestRows, parseRows, reportName, toMarkdown } from './report.mjs'

const timing = {
  step: 'decode',
  kind: 'timing',
  family: 'decode',
  shape: '32/8/128, 4096 tokens',
  unit: 'GB/s',
  micros: 61.234,
  microsLow: 61,
  microsHigh: 62,
  rate: 2345.6,
  slices: 11,
  callsASlice: 24,
  roof: 'copy',
  roofRate: 3012.3,
  ratio: 0.7787,
  ratioLow: 0.77,
  ratioHigh: 0.785,
  gate: 0.75,
  goal: 0.88,
  latency: false,
  verdict: 'gate',
}
const rows = [
  { step: 'run', kind: 'fact', name: 'date', value: '2031-02-03' },
  { step: 'facts', kind: 'fact', name: 'device', value: 'Example GPU (80 GB)' },
  { step: 'facts', kind: 'fact', name: 'library', value: 'cuda' },
  { step: 'facts', kind: 'step', code: 0, seconds: 1.5, last: 'fine' },
  { step: 'racecheck', kind: 'step', code: 3, seconds: 0, last: 'not run (compute-sanitizer is not there)' },
  { step: 'suite, seed 1', kind: 'step', code: 1, seconds: 20, last: '900 passed, 1 failed' },
  { step: 'ceilings', kind: 'ceiling', name: 'copy', value: 3012.34, unit: 'GB/s' },
  timing,
  {
    ...timing,
    family: 'select',
    shape: '5000 sentences',
    latency: true,
    micros: 7.1,
    gate: 15,
    goal: 8,
    verdict: 'goal',
  },
  {
    step: 'copies',
    kind: 'value',
    family: 'beside',
    shape: '4 blocks',
    value: 9.5,
    unit: '% slower products',
    gate: 8,
    goal: 3,
    latency: true,
    verdict: 'missed',
  },
  { step: 'decode', kind: 'notRun', family: 'decode', shape: '64 sequences', why: "the step's time was used up" },
  { step: 'turns', kind: 'wrong', family: 'turnRows', shape: '9/3/64 | 32', why: 'a row differs' },
]
const text = rows.map((row) => JSON.stringify(row)).join('\n')

test('rows come back as they were written', () => {
  expect(parseRows(`${text}\n`)).toEqual(rows)
})

test('a last line that was cut off is left out, one in the middle is refused with its number', () => {
  expect(parseRows(`${text}\n{"step":"dec`)).toEqual(rows)
  expect(() => parseRows(`{"a":1}\n{"b"\n{"c":2}`)).toThrow(/line 2/)
  expect(parseRows('')).toEqual([])
})

test('rows are sorted by what they are, and verdicts counted', () => {
  const results = collect(rows)
  expect(results.device).toBe('Example GPU (80 GB)')
  expect(results.verdicts).toEqual({ goal: 1, gate: 1, missed: 1, wrong: 1 })
  expect(results.steps.map((step) => step.code)).toEqual([0, 3, 1])
  expect(results.timings).toHaveLength(2)
  expect(results.timings[0]).not.toHaveProperty('kind')
  const count = Object.keys(results.facts).length + results.steps.length + results.ceilings.length
  expect(count + results.timings.length + results.values.length + results.wrong.length + results.notRun.length).toBe(
    rows.length,
  )
})

test('of the rows about one thing the last counts, so that parts of a run join', () => {
  const again = { ...timing, micros: 60 }
  const facts = rows.filter((row) => row.kind === 'fact')
  const joined = latestRows([...rows, ...facts, again])
  expect(joined).toHaveLength(rows.length)
  expect(joined.filter((row) => row.kind === 'timing' && row.family === 'decode')).toEqual([again])
})

test('the files are named by the day and the device', () => {
  expect(reportName(collect(rows))).toBe('2031-02-03-example-gpu-80-gb')
  expect(() => reportName(collect([]))).toThrow(/date and device/)
})

test('the page has each number once, with its target and its verdict', () => {
  const page = toMarkdown(collect(rows))
  expect(page).toContain('# Example GPU (80 GB), 2031-02-03')
  expect(page).toContain('1 at the goal, 1 between gate and goal, 1 below the gate; 1 wrong answers')
  expect(page).toContain(
    '| 32/8/128, 4096 tokens | 61.2 | 2350 GB/s | copy 3010 | 0.78 (0.77-0.79) | 0.75 | 0.88 | gate |',
  )
  expect(page).toContain('| 15 us | 8 us | goal |')
  expect(page).toContain('| beside: 4 blocks | 9.5 % slower products | 8 % | 3 % | missed |')
  expect(page).toContain('| suite, seed 1 | failed (1) | 20 | 900 passed, 1 failed |')
  expect(page).toContain('| racecheck | not run | 0 |')
  expect(page).toContain('9/3/64 \\| 32')
})

test('a part without rows has no heading', () => {
  const page = toMarkdown(collect(rows.filter((row) => row.kind === 'fact')))
  expect(page).not.toContain('## Ceilings')
  expect(page).not.toContain('## Wrong answers')
  expect(page.endsWith('\n')).toBe(true)
})
