import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sampleShingles } from './shingle-samples.ts'

const key = Uint32Array.from({ length: 8 }, (_, word) => 0x9e3779b9 * (word + 1))
const rule = { key, shingleTokens: 4, sampleEvery: 1 }

/** Distinct shingles by their text. */
function countShingles(tokens: Int32Array, shingleTokens: number): number {
  const texts = new Set<string>()
  for (let at = 0; at + shingleTokens <= tokens.length; at++) texts.add(tokens.subarray(at, at + shingleTokens).join())
  return texts.size
}

const anyTokens = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 }).map((list) => Int32Array.from(list))

describe('sampleShingles', () => {
  test('keeps one hash for each distinct shingle, ascending, where all are kept', () => {
    fc.assert(
      fc.property(anyTokens, fc.integer({ min: 1, max: 6 }), (tokens, shingleTokens) => {
        const tags = sampleShingles(tokens, { ...rule, shingleTokens })
        expect(tags).toHaveLength(countShingles(tokens, shingleTokens))
        expect([...tags]).toEqual([...new Set(tags)].sort((a, b) => a - b))
      }),
    )
  })

  test('hashes a shingle alike wherever it stands, so that a part keeps what the whole keeps of it', () => {
    fc.assert(
      fc.property(
        anyTokens,
        anyTokens,
        anyTokens,
        fc.integer({ min: 1, max: 5 }),
        (before, part, after, sampleEvery) => {
          const sampled = { ...rule, sampleEvery }
          const whole = sampleShingles(Int32Array.of(...before, ...part, ...after), sampled)
          const kept = new Set(sampleShingles(part, sampled))
          const allOfPart = new Set(sampleShingles(part, rule))
          for (const tag of whole) expect(kept.has(tag)).toBe(allOfPart.has(tag))
        },
      ),
    )
  })

  test('keeps the share that it is told to', () => {
    const tokens = Int32Array.from({ length: 40_000 }, (_, at) => at)
    for (const sampleEvery of [2, 8, 50]) {
      const kept = sampleShingles(tokens, { ...rule, sampleEvery }).length
      const expected = (tokens.length - 3) / sampleEvery
      // Five standard deviations of a binomial.
      expect(Math.abs(kept - expected)).toBeLessThan(5 * Math.sqrt(expected))
    }
  })

  test('keeps 16 at least where there are as many, also of a list that repeats itself', () => {
    const lines = Int32Array.from({ length: 400 }, (_, at) => at % 20)
    for (const tokens of [lines, lines.subarray(0, 40)]) {
      for (let word = 0; word < 50; word++) {
        const kept = sampleShingles(tokens, { ...rule, key: key.map((one) => one + word), sampleEvery: 50 })
        expect(kept).toHaveLength(16)
      }
    }
    expect(sampleShingles(lines.subarray(0, 9), { ...rule, sampleEvery: 50 })).toHaveLength(6)
    expect(sampleShingles(lines, { ...rule, sampleEvery: 50 }, 5)).toHaveLength(5)
  })

  test('keeps those of the least rank where there are too many: nested, and the same of two lists', () => {
    const random = seededRandom(4)
    const tokens = Int32Array.from({ length: 3000 }, () => random.integer(1000))
    const all = new Set(sampleShingles(tokens, rule))
    const some = sampleShingles(tokens, rule, 400)
    const fewer = sampleShingles(tokens, rule, 100)
    expect(some).toHaveLength(400)
    expect(fewer).toHaveLength(100)
    expect(some.every((tag) => all.has(tag))).toBe(true)
    expect(fewer.every((tag) => some.includes(tag))).toBe(true)
  })

  test('is keyed: other keys keep other shingles and hash them otherwise', () => {
    const tokens = Int32Array.from({ length: 5000 }, (_, at) => at)
    for (let word = 0; word < 6; word++) {
      const other = key.slice()
      other[word] ^= 0x10
      const tags = new Set(sampleShingles(tokens, rule))
      const shared = [...sampleShingles(tokens, { ...rule, key: other })].filter((tag) => tags.has(tag))
      expect(shared.length, `word ${word}`).toBeLessThan(word === 4 ? Number.POSITIVE_INFINITY : 20)
    }
    const sampled = { ...rule, sampleEvery: 8 }
    const ranked = key.slice()
    ranked[4] ^= 0x10
    const [a, b] = [sampleShingles(tokens, sampled), new Set(sampleShingles(tokens, { ...sampled, key: ranked }))]
    expect(a.filter((tag) => b.has(tag)).length).toBeLessThan(a.length / 4)
  })

  test('finds nothing in lists shorter than a shingle', () => {
    expect(sampleShingles([1, 2, 3], rule)).toHaveLength(0)
    expect(sampleShingles([], rule)).toHaveLength(0)
    expect(sampleShingles([1, 2, 3, 4], rule)).toHaveLength(1)
  })
})
