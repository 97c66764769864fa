import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agreement, bandTags, countBits } from './signature-bands.ts'

const key = Uint32Array.from({ length: 8 }, (_, word) => 0x85ebca6b * (word + 3))
const anyWord = fc.nat({ max: 2 ** 32 - 1 })

describe('bandTags', () => {
  test('changes exactly the tag of the band in which a bit changes', () => {
    fc.assert(
      fc.property(
        fc.array(anyWord, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 64 }),
        fc.nat(),
        (list, bandBits, pick) => {
          const signature = Uint32Array.from(list)
          const other = signature.slice()
          const bit = pick % (32 * signature.length)
          other[bit >>> 5] ^= 1 << (bit % 32)
          const [before, after] = [bandTags(signature, key, bandBits), bandTags(other, key, bandBits)]
          expect(before).toHaveLength(Math.floor((32 * signature.length) / bandBits))
          const changed = [...before.keys()].filter((band) => before[band] !== after[band])
          const band = Math.floor(bit / bandBits)
          expect(changed).toEqual(band < before.length ? [band] : [])
        },
      ),
    )
  })

  test('tells bands of equal bits apart, and keys', () => {
    const tags = bandTags(new Uint32Array(8), key, 16)
    expect(new Set(tags).size).toBe(16)
    const others = bandTags(
      new Uint32Array(8),
      key.map((word) => word ^ 1),
      16,
    )
    expect([...tags].some((tag) => others.includes(tag))).toBe(false)
  })
})

test('agreement is the share of equal bits', () => {
  const random = seededRandom(2)
  const a = Uint32Array.from({ length: 8 }, () => random.integer(2 ** 32))
  expect(agreement(a, a)).toBe(1)
  expect(
    agreement(
      a,
      a.map((word) => ~word),
    ),
  ).toBe(0)
  const b = a.slice()
  b[3] ^= 0b1011
  expect(agreement(a, b)).toBe(1 - 3 / 256)
})

test('countBits counts the bits of any word', () => {
  fc.assert(
    fc.property(anyWord, (word) => {
      expect(countBits(word)).toBe([...word.toString(2)].filter((bit) => bit === '1').length)
      expect(countBits(word | 0)).toBe(countBits(word))
    }),
  )
})
