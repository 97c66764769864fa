import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseDonors, type Overlap, overlapOf } from './donor-choice.ts'

const ascending = (max: number, maxLength: number) =>
  fc.uniqueArray(fc.nat(max), { maxLength }).map((list) => Uint32Array.from(list).sort())

const bitsOf = ({ held }: Overlap) =>
  [...held].flatMap((word, at) =>
    Array.from({ length: 32 }, (_, bit) => 32 * at + bit).filter((bit) => (word >>> (bit % 32)) & 1),
  )

describe('overlapOf', () => {
  test('marks the shingles that both hold, in short and in far longer donors', () => {
    fc.assert(
      fc.property(ascending(300, 70), fc.oneof(ascending(300, 70), ascending(3000, 1500)), (target, donor) => {
        const overlap = overlapOf(3, target, donor)
        const expected = [...target.keys()].filter((shingle) => donor.includes(target[shingle]))
        expect(bitsOf(overlap)).toEqual(expected)
        expect(overlap).toMatchObject({ slot: 3, count: expected.length })
      }),
      { numRuns: 300 },
    )
  })
})

describe('chooseDonors', () => {
  const donor = (slot: number, shingles: number[]) =>
    overlapOf(
      slot,
      Uint32Array.from({ length: 40 }, (_, i) => i),
      Uint32Array.from(shingles),
    )
  const range = (start: number, end: number) => Array.from({ length: end - start }, (_, i) => start + i)

  test('takes the best first, then what adds most, and copies of it last', () => {
    const overlaps = [
      donor(0, range(0, 9)),
      donor(1, range(0, 20)),
      donor(2, range(0, 19)),
      donor(3, range(20, 30)),
      donor(4, []),
      donor(5, range(15, 34)),
    ]
    expect(chooseDonors(overlaps, 9)).toEqual([
      { slot: 1, count: 20, added: 20 },
      { slot: 5, count: 19, added: 14 },
      { slot: 2, count: 19, added: 0 },
      { slot: 3, count: 10, added: 0 },
      { slot: 0, count: 9, added: 0 },
    ])
    expect(chooseDonors(overlaps, 2).map(({ slot }) => slot)).toEqual([1, 5])
    expect(chooseDonors([], 2)).toEqual([])
  })

  test('adds as much at each step as any donor could', () => {
    fc.assert(
      fc.property(fc.array(ascending(39, 40), { maxLength: 8 }), fc.integer({ min: 1, max: 9 }), (lists, limit) => {
        const overlaps = lists.map((shingles, slot) => donor(slot, [...shingles]))
        const covered = new Set<number>()
        const left = new Map(overlaps.filter(({ count }) => count > 0).map((overlap) => [overlap.slot, overlap]))
        const gain = (overlap: Overlap) => bitsOf(overlap).filter((bit) => !covered.has(bit)).length
        const chosen = chooseDonors(overlaps, limit)
        expect(chosen).toHaveLength(Math.min(limit, left.size))
        for (const { slot, added } of chosen) {
          expect(added).toBe(gain(left.get(slot)!))
          expect(added).toBe(Math.max(...[...left.values()].map(gain)))
          for (const bit of bitsOf(left.get(slot)!)) covered.add(bit)
          left.delete(slot)
        }
      }),
    )
  })
})
