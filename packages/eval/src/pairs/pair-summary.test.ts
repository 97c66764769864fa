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
