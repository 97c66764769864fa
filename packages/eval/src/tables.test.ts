import { expect, test } from 'vitest'
import { compareArms } from './comparisons.ts'
import { markdownTables } from './markdown-tables.ts'
import { summarise } from './summary.ts'
import { summaryTable } from './tables.ts'

const window = (id: string, policy: string, nllNats: number) => ({
  suite: 'windows',
  id,
  length: 2048,
  policy,
  budget: policy === 'full' ? null : 64,
  mode: null,
  nllNats,
  nllFullNats: 2,
  klNats: nllNats - 2,
  top1: 0.5,
  hotBytes: 2.5e6,
})
const answer = (id: string, kind: string, correct: number) => ({
  suite: 'niah',
  id,
  length: 1024,
  policy: 'window',
  budget: 64,
  mode: 'B',
  kind,
  correct,
  correctFull: 0.5,
})

test('windows show what they measured, with intervals', () => {
  const { head, rows } = summaryTable(
    summarise([window('a', 'full', 2), window('a', 'window', 2.5), window('b', 'window', 2.5)]),
  )
  expect(head).toEqual(['policy', 'length', 'budget', 'n', 'KL nats', 'PPL +%', 'top-1 %', 'hot MB'])
  expect(rows).toEqual([
    ['full', '2048', 'all', '1', '0.0000', '0.0', '50.0', '2.5'],
    ['window', '2048', '64', '2', '0.5000 (0.5000 .. 0.5000)', '64.9 (64.9 .. 64.9)', '50.0 (50.0 .. 50.0)', '2.5'],
  ])
})

test('what came up from a lower tier, what was proven and what was reused are shown where there is any', () => {
  const row = {
    ...window('a', 'window', 2.5),
    movedBytesPerToken: 1500,
    certifiedHeadsShare: 0.25,
    reusedStepsShare: 0,
  }
  const full = { ...window('a', 'full', 2), movedBytesPerToken: null }
  const { head, rows } = summaryTable(summarise([row, full]))
  expect(head.slice(-3)).toEqual(['hot MB', 'moved KB', 'proven %'])
  expect(rows.map((cells) => cells.slice(-2))).toEqual([
    ['1.5', '25.0'],
    ['-', '-'],
  ])
})

test('without intervals only the first figure has one', () => {
  const { rows } = summaryTable(summarise([window('a', 'window', 2.5), window('b', 'window', 2.5)]), {
    intervals: false,
  })
  expect(rows[0].slice(4)).toEqual(['0.5000 (0.5000 .. 0.5000)', '64.9', '50.0', '2.5'])
})

test('answers show the distance to the full cache', () => {
  const { head, rows } = summaryTable(summarise([answer('a', 'fact', 0), answer('b', 'fact', 0)]))
  expect(head).toEqual(['policy', 'mode', 'length', 'budget', 'n', 'correct %', 'to full', 'counted'])
  expect(rows[0].slice(5)).toEqual(['0.0 (0.0 .. 0.0)', '-50.0 (-50.0 .. -50.0)', 'yes'])
})

test('the page says which mean speed-ups are given in, where there are any', () => {
  const pair = { ...window('a', 'semshare-kv', 2.5), suite: 'pairs', kind: 'shift', variant: 'k=1', ttftRatio: 2 }
  const run = { comparisons: [], identity: { model: 'm.gguf', modelBytes: 1 }, command: 'kvasir eval pairs' }
  expect(markdownTables({ ...run, summary: summarise([pair]) })).toMatch(/\|\n\n`TTFT x` is .* geometric mean/)
  expect(markdownTables({ ...run, summary: summarise([window('a', 'window', 2.5)]) })).not.toContain('TTFT')
})

test('the page has the command, a table a suite, its parts and the comparisons', () => {
  const rows = [
    window('a', 'window', 2.5),
    window('a', 'sentence-kv:mode=kvasir', 2.1),
    answer('a', 'fact', 1),
    answer('b', 'code', 0),
  ]
  const page = markdownTables({
    summary: summarise(rows),
    comparisons: compareArms(rows, { draws: 100 }),
    identity: { model: 'm.gguf', modelBytes: 1 },
    command: 'kvasir eval niah --data d',
  })
  expect(page).toContain('```sh\nkvasir eval niah --data d\n```\n\nmodel m.gguf, modelBytes 1.')
  expect(page.match(/^## .*$/gm)).toEqual(['## niah', '## windows'])
  expect(page).toContain('| code | window | B | 1024 | 64 | 1 | 0.0 | 50.0 | yes |')
  expect(page).toContain(
    '| window | sentence-kv:mode=kvasir | - | 2048 | 64 | klNats | 1 | +0.4000 | 1.0000 | 1.0000 |',
  )
  for (const table of page.split('\n\n').filter((part) => part.startsWith('|'))) {
    expect(
      new Set(
        table
          .trimEnd()
          .split('\n')
          .map((line) => line.split(' | ').length),
      ).size,
    ).toBe(1)
  }
})
