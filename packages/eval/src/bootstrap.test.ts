import fc from 'fast-check'
import { expect, test } from 'vitest'
import { meanInterval95 } from './bootstrap.ts'

test('the interval is that of the normal law where that is known', () => {
  // 400 values, half 0 and half 1: the mean's standard error is 0.025.
  const [low, high] = meanInterval95(Array.from({ length: 400 }, (_, i) => i % 2))!
  expect(low).toBeCloseTo(0.5 - 1.96 * 0.025, 2)
  expect(high).toBeCloseTo(0.5 + 1.96 * 0.025, 2)
})

test('it covers the true mean about 19 times in 20', () => {
  let state = 7
  const uniform = () => {
    state = (Math.imul(state, 48271) >>> 0) % 2147483647
    return state / 2147483647
  }
  const samples = Array.from({ length: 300 }, () => Array.from({ length: 30 }, uniform))
  const covered = samples.filter((sample) => {
    const [low, high] = meanInterval95(sample, { draws: 1000 })!
    return low <= 0.5 && 0.5 <= high
  })
  expect(covered.length / samples.length).toBeGreaterThan(0.88)
  expect(covered.length / samples.length).toBeLessThan(0.99)
})

test('equal values have an interval without width, one value has none', () => {
  expect(meanInterval95([0.1, 0.1, 0.1])).toEqual([expect.closeTo(0.1, 12), expect.closeTo(0.1, 12)])
  expect(meanInterval95([2])).toBeNull()
  expect(meanInterval95([])).toBeNull()
})

test('the mean lies in it, whatever rounding does', () => {
  const value = fc.double({ min: -1e6, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(fc.array(value, { minLength: 2, maxLength: 6 }), fc.boolean(), (some, alike) => {
      const values = alike ? some.map(() => some[0]) : some
      const [low, high] = meanInterval95(values, { draws: 40 })!
      const mean = values.reduce((sum, one) => sum + one, 0) / values.length
      expect(low).toBeLessThanOrEqual(mean)
      expect(high).toBeGreaterThanOrEqual(mean)
    }),
  )
})

test('a report made twice shows the same figures', () => {
  const values = [3, 1, 4, 1, 5, 9, 2, 6]
  expect(meanInterval95(values)).toEqual(meanInterval95(values))
  expect(meanInterval95(values, { seed: 2 })).not.toEqual(meanInterval95(values))
})
