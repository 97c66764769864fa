import { exact, OptionError, type ReusePlan } from '@kvasir/core'
import { expect, test } from 'vitest'
import { parsePolicySpec, planArms } from '../policy-spec.ts'
import { randomPieces, recomputeShare } from './reuse-controls.ts'

const pieces = [
  { start: 2, end: 5, donor: 'a', donorStart: 10 },
  { start: 6, end: 8, donor: 'a', donorStart: 20 },
]
const plan: ReusePlan = {
  kind: 'reuse',
  pieces,
  recompute: { rows: Int32Array.of(0, 1, 2, 3, 5, 6, 8, 9) },
  provenance: exact,
  reason: 'alike',
}
const rowsAt = (share: number) => [...recomputeShare(plan, share).recompute.rows]

test('of the borrowed rows the first ones of each run are computed, up to all of them', () => {
  expect(rowsAt(0)).toEqual([0, 1, 5, 8, 9])
  expect(rowsAt(0.4)).toEqual([0, 1, 2, 5, 6, 8, 9])
  expect(rowsAt(1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('a random map takes every row of the runs once, most of them elsewhere', () => {
  const spoilt = randomPieces([{ start: 0, end: 50, donor: 'a', donorStart: 100 }, ...pieces])
  expect(spoilt.map(({ start, end }) => end - start)).toEqual(spoilt.map(() => 1))
  expect(spoilt.map(({ donorStart }) => donorStart).sort((a, b) => a - b)).toEqual(
    [...Array.from({ length: 50 }, (_, i) => 100 + i), 10, 11, 12, 20, 21].sort((a, b) => a - b),
  )
  expect(spoilt.filter(({ start, donorStart }) => donorStart === 100 + start).length).toBeLessThan(10)
})

test.each(['semshare-kv:control=none', 'semshare-kv:recompute=2', 'semshare-kv:fidelity=lazy'])(
  '%s is refused before anything runs',
  (text) => {
    expect(() => planArms([parsePolicySpec(text)], [128])).toThrow(OptionError)
  },
)
