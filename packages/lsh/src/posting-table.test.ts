import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createPostingTable } from './posting-table.ts'

/** Few tags, which meet in few homes: the lowest bits choose a part, the highest a home. */
const anyTag = fc.constantFrom(0, 1, 255, 256, 0x00000100, 0x80000000, 0xfffffffe, 0xffffffff, 0xfffffeff, 7)
const anyChange = fc.record({ tag: anyTag, slot: fc.nat(9), add: fc.boolean() })

describe('createPostingTable', () => {
  test('lists what a plain map lists, in its order, the first slots of full lists given up', () => {
    fc.assert(
      fc.property(
        fc.array(anyChange, { maxLength: 80, size: 'max' }),
        fc.integer({ min: 1, max: 4 }),
        (changes, maxListed) => {
          const table = createPostingTable(maxListed)
          const model = new Map<number, number[]>()
          for (const { tag, slot, add } of changes) {
            const slots = model.get(tag) ?? []
            if (!add) table.remove(tag, slot)
            else if (!slots.includes(slot)) table.add(tag, slot)
            if (!add)
              model.set(
                tag,
                slots.filter((each) => each !== slot),
              )
            else if (!slots.includes(slot)) model.set(tag, [...slots, slot].slice(-maxListed))
          }
          const out = new Int32Array(maxListed)
          for (const [tag, slots] of model) {
            const listed = [...out.subarray(0, table.list(tag, out))]
            expect(listed).toEqual(slots)
          }
          expect(table.numPostings).toBe([...model.values()].reduce((sum, slots) => sum + slots.length, 0))
        },
      ),
      { numRuns: 500 },
    )
  })

  test('grows past the split into parts and back, and loses nothing', () => {
    const random = seededRandom(6)
    const table = createPostingTable(4)
    const tags = Array.from({ length: 90_000 }, () => random.integer(2 ** 32))
    for (const [slot, tag] of tags.entries()) table.add(tag, slot)
    expect(table.numPostings).toBe(tags.length)
    expect(table.numBytes / tags.length).toBeLessThan((8 / 0.75) * 1.3)
    const out = new Int32Array(4)
    const holds = (tag: number, slot: number) => out.subarray(0, table.list(tag, out)).includes(slot)
    expect(tags.every(holds)).toBe(true)
    tags.forEach((tag, slot) => {
      if (slot % 3 !== 0) table.remove(tag, slot)
    })
    expect(table.numPostings).toBe(tags.length / 3)
    expect(tags.every((tag, slot) => holds(tag, slot) === (slot % 3 === 0))).toBe(true)
  })
})
