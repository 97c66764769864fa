import type { Span } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseSentences, type WeighedRows } from './sentence-choice.ts'

const spansOf = (lengths: readonly number[]): Span[] =>
  lengths.map((length, i) => {
    const start = lengths.slice(0, i).reduce((sum, one) => sum + one, 0)
    return { start, end: start + length }
  })
const head = (mass: readonly number[], rows = [...mass.keys()]): WeighedRows => ({
  rows: Int32Array.from(rows),
  mass: Float64Array.from(mass),
})
const choose = (heads: readonly WeighedRows[], lengths: readonly number[], room: number) =>
  chooseSentences(heads, spansOf(lengths), room).map((rows) => [...rows])

test('sentences come whole, by their worth a row, and the last one by its best rows', () => {
  const mass = [1, 1, 9, 0, 0, 6, 5, 7]
  const lengths = [2, 3, 3]
  expect(choose([head(mass)], lengths, 3)).toEqual([[5, 6, 7]])
  expect(choose([head(mass)], lengths, 4)).toEqual([[2, 5, 6, 7]])
  expect(choose([head(mass)], lengths, 6)).toEqual([[2, 3, 4, 5, 6, 7]])
  expect(choose([head(mass)], lengths, 99)).toEqual([[0, 1, 2, 3, 4, 5, 6, 7]])
  expect(choose([head(mass)], lengths, 0)).toEqual([[]])
})

test('heads of one room compete for it, and rows that are not there count for nothing', () => {
  expect(choose([head([1, 1, 1, 1]), head([5, 5, 0, 0])], [2, 2], 4)).toEqual([
    [0, 1],
    [0, 1],
  ])
  expect(choose([head([9, 1, 1], [1, 2, 3])], [2, 2], 2)).toEqual([[1, 2]])
})

test('no whole sentences that fit have more worth', () => {
  const sentence = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 5 })
  const text = fc.array(sentence, { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: 24 }), (sentences, room) => {
      const mass = sentences.flat()
      const [rows] = choose(
        [head(mass)],
        sentences.map(({ length }) => length),
        room,
      )
      const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)
      expect(rows).toHaveLength(Math.min(room, mass.length))
      const worth = sumOf(rows.map((row) => mass[row]))
      for (let set = 0; set < 2 ** sentences.length; set++) {
        const some = sentences.filter((_, i) => (set >> i) & 1)
        if (some.flat().length <= room) expect(worth).toBeGreaterThanOrEqual(sumOf(some.flat()))
      }
    }),
  )
})
