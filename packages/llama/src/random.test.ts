import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomSource } from './random.ts'

describe('randomSource', () => {
  it('gives the same numbers for the same seed, others for others', () => {
    const first = (seed: number) => {
      const random = randomSource(seed)
      return Array.from({ length: 8 }, random)
    }
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(first(a)).toEqual(first(a))
        if (a !== b) expect(first(a)).not.toEqual(first(b))
      }),
    )
    expect(first(1)).not.toEqual(first(1 + 2 ** 32))
  })

  it('is uniform in [0, 1): ten equal bins, mean and neighbours', () => {
    const random = randomSource(42)
    const numbers = Array.from({ length: 100_000 }, random)
    const bins = new Array<number>(10).fill(0)
    let neighbours = 0
    numbers.forEach((number, i) => {
      expect(number >= 0 && number < 1).toBe(true)
      bins[Math.floor(number * 10)]++
      if (i > 0) neighbours += (number - 0.5) * (numbers[i - 1] - 0.5)
    })
    // 5 standard deviations of a binomial count: 5 sqrt(n p (1 - p)).
    for (const count of bins) expect(Math.abs(count - 10_000)).toBeLessThan(475)
    // Correlation of neighbours: variance 1/144 a product.
    expect(Math.abs(neighbours)).toBeLessThan((5 * Math.sqrt(100_000)) / 12)
  })
})
