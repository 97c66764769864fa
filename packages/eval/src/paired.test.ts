import { seededRandom } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { holmAdjusted, pairedDifference, signFlipP } from './paired.ts'

test('the difference is that of the means, and its interval only knows the pairs', () => {
  // Cases that differ by tens, runs that differ by 1: unpaired nobody would see it.
  const theirs = [10, 50, 20, 90, 40, 70]
  const ours = theirs.map((value, i) => value + 1 + (i % 2) / 10)
  const { n, difference, ci95 } = pairedDifference(ours, theirs)
  expect([n, difference]).toEqual([6, expect.closeTo(1.05, 12)])
  expect(ci95![0]).toBeGreaterThanOrEqual(1)
  expect(ci95![1]).toBeLessThanOrEqual(1.1 + 1e-12)
  expect(pairedDifference([2], [1])).toEqual({ n: 1, difference: 1, ci95: null })
})

test('p of a few differences is that of all their signs', () => {
  // Of 8 signs of (1, 2, 4) two have a sum as far from 0 as 7.
  expect(signFlipP([1, 2, 4], { draws: 40_000 })).toBeCloseTo(2 / 8, 1)
  expect(signFlipP([0, 0, 0])).toBe(1)
  expect(signFlipP(Array.from({ length: 30 }, () => 0.1))).toBeLessThan(0.001)
})

test('p of noise is small as often as it should be', () => {
  const random = seededRandom(4)
  const draw = () => Array.from({ length: 20 }, () => random.integer(2001) - 1000)
  const small = Array.from({ length: 300 }, () => signFlipP(draw(), { draws: 400 })).filter((p) => p < 0.1)
  expect(small.length / 300).toBeGreaterThan(0.04)
  expect(small.length / 300).toBeLessThan(0.17)
})

test('Holm: the smallest p counts all tests, the next one fewer, none falls below one before it', () => {
  expect(holmAdjusted([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06])
  expect(holmAdjusted([0.5, 0.9])).toEqual([1, 1])
  expect(holmAdjusted([])).toEqual([])
})
