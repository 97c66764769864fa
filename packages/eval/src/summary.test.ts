import { expect, test } from 'vitest'
import { summarise, summaryJson } from './summary.ts'

const rowOf = (id: string, policy: string, nllNats: number) => ({
  suite: 'windows',
  id,
  length: 2048,
  policy,
  budget: 64,
  mode: null,
  nllNats,
  nllFullNats: 2,
  note: 'text is left out',
})

test('one row a policy, with means, intervals and the number of cases', () => {
  const rows = [rowOf('a', 'window', 2.1), rowOf('a', 'oracle', 2), rowOf('b', 'window', 2.3)]
  const [window, oracle] = summarise(rows)
  expect(window).toMatchObject({ suite: 'windows', length: 2048, policy: 'window', budget: 64, mode: null, n: 2 })
  expect(window.estimates.nllNats).toEqual({
    mean: expect.closeTo(2.2, 12),
    ci95: [expect.closeTo(2.1, 12), expect.closeTo(2.3, 12)],
  })
  expect(Object.keys(window.estimates)).toEqual(['nllNats', 'nllFullNats', 'dPplPercent'])
  expect(oracle).toMatchObject({ n: 1, estimates: { nllNats: { mean: 2, ci95: null } } })
})

test('the loss of perplexity is that of the mean difference, not the mean of the losses', () => {
  const [row] = summarise([rowOf('a', 'window', 2), rowOf('b', 'window', 3)])
  expect(row.estimates.dPplPercent.mean).toBeCloseTo(100 * (Math.exp(0.5) - 1), 9)
  expect(row.estimates.dPplPercent.ci95).toEqual([0, expect.closeTo(100 * (Math.E - 1), 9)])
})

test('the JSON has the estimates beside the keys', () => {
  const [row] = summarise([rowOf('a', 'window', 2)])
  expect(summaryJson(row)).toMatchObject({ policy: 'window', n: 1, nllNats: 2, ci95: { nllNats: null } })
})
