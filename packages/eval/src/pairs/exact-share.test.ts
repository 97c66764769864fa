import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exactShare } from './exact-share.ts'

/** Every token looks for a run around it. */
function plainShare(target: Int32Array, donor: Int32Array, runTokens: number): number {
  const isThere = (from: number) =>
    from >= 0 &&
    from + runTokens <= target.length &&
    donor.some((_, at) => target.slice(from, from + runTokens).every((token, i) => donor[at + i] === token))
  const covered = [...target.keys()].filter((token) =>
    Array.from({ length: runTokens }, (_, i) => token - i).some(isThere),
  )
  return covered.length / target.length
}

test('is what a search around every token finds', () => {
  const ids = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(ids, ids, fc.integer({ min: 1, max: 6 }), (target, donor, runTokens) => {
      const [a, b] = [Int32Array.from(target), Int32Array.from(donor)]
      expect(exactShare(a, b, runTokens)).toBeCloseTo(plainShare(a, b, runTokens), 12)
    }),
  )
})

test('counts runs of five tokens, wherever they stand', () => {
  const donor = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  expect(exactShare(donor, donor)).toBe(1)
  expect(exactShare(Int32Array.of(9, 3, 4, 5, 6, 7, 9, 1, 2, 3), donor)).toBe(0.5)
  expect(exactShare(Int32Array.of(1, 2, 3, 4), donor)).toBe(0)
})
