import { mergeSpans, rowsOutside } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countOutside, indicesOutside } from './rows-outside.ts'
import { range } from './test-views.ts'

const spans = fc
  .array(fc.record({ start: fc.nat(60), length: fc.nat(9) }))
  .map((list) => mergeSpans(list.map(({ start, length }) => ({ start, end: start + length }))))

test('rows outside of spans are counted, listed and picked alike', () => {
  fc.assert(
    fc.property(spans, fc.nat(60), fc.nat(70), fc.nat(30), (list, start, end, most) => {
      const plain = range(start, Math.max(start, end)).filter(
        (index) => !list.some((span) => span.start <= index && index < span.end),
      )
      expect(countOutside(list, start, end)).toBe(plain.length)
      expect([...indicesOutside(list, start, end)]).toEqual(plain)
      expect([...indicesOutside(list, start, end, most)]).toEqual(plain.slice(0, most))
      expect([...rowsOutside(Int32Array.from(range(start, Math.max(start, end))), list)]).toEqual(plain)
    }),
  )
})
