import { expect, test } from 'vitest'
import { assertClose, assertSameBits, nmse } from './close.ts'

test('nmse is the error power over the reference power', () => {
  expect(nmse([1, 2], [1, 1])).toBe(0.5)
  expect(nmse([], [])).toBe(0)
  expect(nmse([0, 0], [0, 0])).toBe(0)
  expect(nmse([1], [0])).toBe(Number.POSITIVE_INFINITY)
  expect(nmse([Number.NaN], [1])).toBeNaN()
})

test('close is absolute + relative * |reference|', () => {
  assertClose([1.5, 110], [1, 100], { absolute: 0.5, relative: 0.1 })
  assertClose([Number.POSITIVE_INFINITY], [Number.POSITIVE_INFINITY])
  expect(() => assertClose([1, 2, 9], [1, 1, 1], { absolute: 0.5 })).toThrow(/value 2 of 3: expected 1 .* got 9/)
  expect(() => assertClose([Number.NaN, 1], [1, 1], { absolute: 9 })).toThrow(/value 0/)
  expect(() => assertClose([Number.POSITIVE_INFINITY], [1], { relative: 1 })).toThrow(/value 0/)
  expect(() => assertClose([1], [1, 2])).toThrow('expected 2 values, got 1')
})

test('the same bits are no less than that', () => {
  assertSameBits([Number.NaN, -0], [Number.NaN, -0])
  expect(() => assertSameBits([0], [-0])).toThrow(/to the bit/)
  expect(() => assertSameBits([1 + Number.EPSILON], [1], 'logits')).toThrow(/logits: value 0/)
})
