import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createWordPool } from './word-pool.ts'

test('keeps lists apart through any puts and frees', () => {
  const change = fc.record({ length: fc.nat(300), free: fc.boolean() })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60, size: 'max' }), (changes) => {
      const pool = createWordPool()
      const held: { place: number; words: Uint32Array }[] = []
      for (const [number, { length, free }] of changes.entries()) {
        const gone = free ? held.shift() : undefined
        if (gone !== undefined) pool.free(gone.place, gone.words.length)
        const words = new Uint32Array(length).fill(number)
        held.push({ place: pool.take(length), words })
        pool.words.set(words, held.at(-1)!.place)
      }
      for (const { place, words } of held) expect(pool.words.subarray(place, place + words.length)).toEqual(words)
    }),
  )
})

test('uses freed room again and wastes little', () => {
  const pool = createWordPool()
  const lengths = Array.from({ length: 2000 }, (_, number) => 60 + (number % 90))
  const places = lengths.map((length) => pool.take(length))
  const needed = lengths.reduce((sum, length) => sum + length, 0)
  const before = pool.words.length
  expect(before / needed).toBeLessThan(1.45)
  for (const [number, place] of places.entries()) pool.free(place, lengths[number])
  for (const length of lengths) pool.take(length)
  expect(pool.words.length).toBe(before)
})
