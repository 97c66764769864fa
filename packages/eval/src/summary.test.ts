import { expect, test } from 'vitest'
import { compareArms } from './comparisons.ts'
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
  recallByLayer: [nllNats, 1],
  note: 'text is left out',
})

const scoreOf = (id: string, kind: string, correct: number, correctFull: number) => ({
  suite: 'niah',
  id,
  length: 1024,
  policy: 'window',
  budget: 64,
  mode: 'A',
  kind,
  depth: 0.5,
  correct,
  correctFull,
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
  expect(window).toMatchObject({ curves: { recallByLayer: [expect.closeTo(2.2, 12), 1] }, cells: [], counted: null })
  expect(oracle).toMatchObject({ n: 1, estimates: { nllNats: { mean: 2, ci95: null } } })
})

test('the figures do not depend on the order of the cases', () => {
  const rows = [2.1, 2.5, 2.2, 2.9].map((nll, i) => rowOf(`case ${i}`, 'window', nll))
  expect(summarise([...rows].reverse())).toEqual(summarise(rows))
})

test('the loss of perplexity is that of the mean difference, not the mean of the losses', () => {
  const [row] = summarise([rowOf('a', 'window', 2), rowOf('b', 'window', 3)])
  expect(row.estimates.dPplPercent.mean).toBeCloseTo(100 * (Math.exp(0.5) - 1), 9)
  expect(row.estimates.dPplPercent.ci95).toEqual([0, expect.closeTo(100 * (Math.E - 1), 9)])
})

test('what the full cache did on the same cases is paired', () => {
  const [row] = summarise([rowOf('a', 'window', 2.25), rowOf('b', 'window', 2.75)])
  expect(row.pairedToFull).toEqual({ nllNats: { n: 2, difference: 0.5, ci95: [0.25, 0.75] } })
})

test('kinds that the full cache fails are shown and not counted', () => {
  const facts = [1, 1, 0].map((correct, i) => scoreOf(`f${i}`, 'fact', correct, 1))
  const lists = [0.25, 0, 0, 0].map((correct, i) => scoreOf(`l${i}`, 'multivalue', correct, 0.25))
  const [row] = summarise([...facts, ...lists])
  expect(row.cells).toEqual([
    { cell: 'fact', n: 3, score: expect.closeTo(2 / 3, 12), scoreFull: 1, counted: true },
    { cell: 'multivalue', n: 4, score: 0.0625, scoreFull: 0.25, counted: false },
  ])
  expect(row.estimates.correctCounted.mean).toBeCloseTo(2 / 3, 12)
  expect(row.counted).toBe(true)
  expect(row.estimates.depth).toBeUndefined()
  const [alone] = summarise(lists)
  expect(alone.counted).toBe(false)
  expect(alone.estimates.correctCounted).toBeUndefined()
})

test('the JSON has the estimates and curves beside the keys', () => {
  const [row] = summarise([rowOf('a', 'window', 2)])
  expect(summaryJson(row)).toMatchObject({
    policy: 'window',
    n: 1,
    nllNats: 2,
    recallByLayer: [2, 1],
    ci95: { nllNats: null },
    pairedToFull: { nllNats: { difference: 0 } },
  })
})

test('policies that share no case are not compared', () => {
  expect(compareArms([rowOf('a', 'window', 2), rowOf('b', 'oracle', 2)])).toEqual([])
})

test('policies of one budget are compared over the cases that both ran, corrected for their number', () => {
  const ids = Array.from({ length: 12 }, (_, i) => `case ${i}`)
  const rows = ids.flatMap((id, i) => [
    rowOf(id, 'window', 2.5 + i / 100),
    rowOf(id, 'oracle', 2 + i / 100),
    rowOf(id, 'random', 2 + i / 100),
    { ...rowOf(id, 'oracle', 2), budget: 128 },
  ])
  const compared = compareArms([...rows.slice(4), rows[0]], { draws: 2000 }).filter(({ field }) => field === 'nllNats')
  expect(compared.map(({ policy, other, budget, n }) => [policy, other, budget, n])).toEqual([
    ['window', 'oracle', 64, 11],
    ['window', 'random', 64, 11],
    ['oracle', 'random', 64, 11],
  ])
  expect(compared[0].difference).toBeCloseTo(0.5, 12)
  expect(compared[0].p).toBeLessThan(0.01)
  expect(compared[0].pHolm).toBeCloseTo(3 * compared[0].p, 12)
  expect(compared[2]).toMatchObject({ difference: 0, p: 1, pHolm: 1 })
})
