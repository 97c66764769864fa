import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSlotList } from './slot-list.ts'

test('gives places again and knows the order of use, as a plain list does', () => {
  const change = fc.record({ kind: fc.constantFrom('take', 'release', 'touch'), pick: fc.nat(1000) })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 100, size: 'max' }), (changes) => {
      const slots = createSlotList()
      const order: number[] = []
      for (const { kind, pick } of changes) {
        const [slot] = kind === 'take' || order.length === 0 ? [slots.take()] : order.splice(pick % order.length, 1)
        if (kind === 'release') slots.release(slot)
        else order.push(slot)
        if (kind === 'touch') slots.touch(slot)
        expect(new Set(order).size).toBe(order.length)
        expect(slots.size).toBe(order.length)
        expect(slots.oldest()).toBe(order[0] ?? -1)
        for (let at = 0; at < slots.end + 2; at++) expect(slots.isTaken(at)).toBe(order.includes(at))
      }
    }),
  )
})
