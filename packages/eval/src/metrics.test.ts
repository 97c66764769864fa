import fc from 'fast-check'
import { expect, test } from 'vitest'
import { argMax, compareLogits, distributionOf, mean, median, quantile } from './metrics.ts'

const logit = fc.float({ min: -30, max: 30, noNaN: true, noDefaultInfinity: true })
const logitPairs = fc
  .array(fc.tuple(logit, logit), { minLength: 1, maxLength: 40 })
  .map((pairs) => [Float32Array.from(pairs, ([a]) => a), Float32Array.from(pairs, ([, b]) => b)] as const)

/** Straight from the definition, in float64, without the trick of the maximum. */
function softmax(logits: Float32Array): number[] {
  const sum = logits.reduce((total, value) => total + Math.exp(value), 0)
  return Array.from(logits, (value) => Math.exp(value) / sum)
}

test('KL and NLL are those of the definition', () => {
  fc.assert(
    fc.property(logitPairs, fc.nat(), ([reference, other], pick) => {
      const target = pick % other.length
      const [p, q] = [softmax(reference), softmax(other)]
      const kl = p.reduce((sum, share, i) => sum + share * Math.log(share / q[i]), 0)
      const got = compareLogits(distributionOf(reference), other, target)
      expect(got.klNats).toBeCloseTo(kl, 9)
      expect(got.nllNats).toBeCloseTo(-Math.log(q[target]), 9)
      expect(got.sameBest).toBe(reference.indexOf(Math.max(...reference)) === other.indexOf(Math.max(...other)))
    }),
  )
})

test('KL of equal logits is exactly 0, and never below 0 by more than rounding', () => {
  fc.assert(
    fc.property(logitPairs, ([reference, other]) => {
      expect(compareLogits(distributionOf(reference), reference, 0).klNats).toBe(0)
      expect(compareLogits(distributionOf(reference), other, 0).klNats).toBeGreaterThan(-1e-12)
    }),
  )
})

test('large logits do not overflow', () => {
  const { nllNats, klNats } = compareLogits(distributionOf(Float32Array.of(1000, 1000)), Float32Array.of(900, 900), 1)
  expect([nllNats, klNats]).toEqual([expect.closeTo(Math.LN2, 9), expect.closeTo(0, 9)])
})

test('of equal logits the lowest id is best', () => {
  expect(argMax(Float32Array.of(1, 3, 3, 2))).toBe(1)
})

test('quantiles interpolate between the neighbours', () => {
  expect(median([4, 1, 3])).toBe(3)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(quantile([0, 10], 0.25)).toBe(2.5)
  expect(quantile([5], 0.99)).toBe(5)
  expect(mean([1, 2, 6])).toBe(3)
})
