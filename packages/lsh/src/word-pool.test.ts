import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createWordPool } from './word-pool.ts'

test('keeps lists apart through any puts and frees', () => {
  const change = fc.record({ length: fc.nat(300), free: fc.boolean() })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const pool = createWordPool()
      const held: { place: number; words: Uint32Array }[] = []
      for (const [number, { length, free }] of changes.entries()) {
        const gone = free ? held.shift() : undefined
        if (gone !== undefined) pool.free(gone.place, gone.words.length)
        const words = new Uint32Array(length).fill(number)
        held.push({ place: pool.put(words), words })
      }
      for (const { place, words } of held) expect(pool.get(place, words.length)).toEqual(words)
    }),
  )
})

test('uses freed room again and wastes little', () => {
  const pool = createWordPool()
  const lists = Array.from({ length: 2000 }, (_, number) => new Uint32Array(60 + (number % 90)))
  const places = lists.map((words) => pool.put(words))
  const needed = lists.reduce((sum, words) => sum + words.byteLength, 0)
  const before = pool.numBytes
  expect(before / needed).toBeLessThan(1.45)
  for (const [number, place] of places.entries()) pool.free(place, lists[number].length)
  for (const words of lists) pool.put(words)
  expect(pool.numBytes).toBe(before)
})
