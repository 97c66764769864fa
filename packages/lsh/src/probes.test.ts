import { seededRandom } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { likelyProbes } from './probes.ts'

test('probes are the cheapest sets of flips over all bands, in order and without repeats', () => {
  const random = seededRandom(4)
  const [numBands, bandBits] = [3, 5]
  for (let round = 0; round < 20; round++) {
    const margins = random.normals(numBands * bandBits)
    const costOf = (band: number, bits: readonly number[]) =>
      bits.reduce((sum, bit) => sum + (margins[band * bandBits + bit] as number) ** 2, 0)
    const all = Array.from({ length: numBands * (2 ** bandBits - 1) }, (_, i) => {
      const [band, set] = [i % numBands, 1 + Math.floor(i / numBands)]
      return costOf(
        band,
        [0, 1, 2, 3, 4].filter((bit) => (set >> bit) & 1),
      )
    }).sort((a, b) => a - b)
    for (const count of [0, 1, 10, 93, 200]) {
      const probes = likelyProbes(margins, numBands, bandBits, count)
      expect(probes).toHaveLength(Math.min(count, all.length))
      expect(new Set(probes.map(({ band, bits }) => `${band}: ${[...bits].sort()}`)).size).toBe(probes.length)
      for (const [i, { band, bits }] of probes.entries()) expect(costOf(band, bits)).toBeCloseTo(all[i]!, 9)
    }
  }
})

test('equal margins flip single bits before pairs', () => {
  const probes = likelyProbes(new Float32Array(12).fill(1), 3, 4, 20)
  expect(probes.slice(0, 12).every(({ bits }) => bits.length === 1)).toBe(true)
  expect(probes.slice(12).every(({ bits }) => bits.length === 2)).toBe(true)
})
