import { expect, test } from 'vitest'
import { summarise, summaryJson } from '../summary.ts'
import { summaryTable } from '../tables.ts'

const key = { suite: 'pairs', length: 1024, policy: 'semshare-kv', budget: null, mode: null }
const row = (id: string, kind: string, variant: string, fields: object) => ({ ...key, id, kind, variant, ...fields })

test('kinds and variants have rows of their own, and acceptance is a share', () => {
  const figures = { reason: 'alike', klNats: 0.1 }
  const rows = summarise([
    row('a', 'shift', 'k=1', { ...figures, accepted: true }),
    row('b', 'shift', 'k=1', { ...figures, accepted: false }),
    row('c', 'shift', 'k=4', { ...figures, accepted: true }),
    row('d', 'reorder', '3-articles', { ...figures, accepted: true }),
  ])
  expect(rows.map(({ kind, variant, n }) => [kind, variant, n])).toEqual([
    ['shift', 'k=1', 2],
    ['shift', 'k=4', 1],
    ['reorder', '3-articles', 1],
  ])
  expect(summaryJson(rows[0])).toMatchObject({ kind: 'shift', variant: 'k=1', accepted: 0.5, klNats: 0.1 })
  expect(rows[0].estimates.accepted.ci95).toHaveLength(2)
  const { head, rows: lines } = summaryTable(rows)
  expect(head).toEqual(['policy', 'length', 'budget', 'n', 'kind', 'variant', 'KL nats', 'accepted %'])
  expect(lines[1].slice(4)).toEqual(['shift', 'k=4', '0.1000', '100'])
})

test('of speed-ups the geometric mean is taken, and its interval over cases', () => {
  const speedUp = (id: string, ttftRatio: number) => row(id, 'reorder', '3-articles', { ttftRatio, klNats: ttftRatio })
  const [{ estimates }] = summarise([speedUp('a', 4), speedUp('b', 0.25)])
  expect(estimates.ttftRatio.mean).toBeCloseTo(1, 12)
  expect(estimates.ttftRatio.ci95).toEqual([expect.closeTo(0.25, 12), expect.closeTo(4, 12)])
  expect(estimates.klNats.mean).toBe(2.125)
  const [inverse] = summarise([speedUp('a', 1 / 4), speedUp('b', 1 / 5), speedUp('c', 1 / 50)])
  expect(inverse.estimates.ttftRatio.mean).toBeCloseTo(0.1, 12)
  const [one] = summarise([speedUp('a', 2.5)])
  expect(one.estimates.ttftRatio).toEqual({ mean: expect.closeTo(2.5, 12), ci95: null })
})

test('of swapped facts only cases count in which the full recompute is right', () => {
  const swap = (id: string, follows: string, followsFull: string, marginNats: number, marginFullNats: number) =>
    row(id, 'swap', 'entity', { follows, followsFull, marginNats, marginFullNats })
  const [{ estimates }] = summarise([
    swap('a', 'target', 'target', 2, 3),
    swap('b', 'donor', 'target', -1, 2),
    swap('c', 'donor', 'donor', -3, -2),
    swap('d', 'other', 'target', -1, 1),
    swap('e', 'target', 'other', 1, 1),
  ])
  expect(estimates.countedCases.mean).toBe(3)
  expect(estimates.targetFact.mean).toBeCloseTo(1 / 3)
  expect(estimates.donorFact.mean).toBeCloseTo(1 / 3)
  expect(estimates.countedByMargin.mean).toBe(4)
  expect(estimates.donorPreferred.mean).toBe(0.5)
})
