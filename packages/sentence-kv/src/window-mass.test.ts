import fc from 'fast-check'
import { expect, test } from 'vitest'
import { heaviestRows, maxPooled, sumHeads } from './window-mass.ts'

const mass = Float32Array.of(1, 2, 3, 10, 20, 30, 100, 200, 300)

test('heads are summed token by token', () => {
  expect([...sumHeads(mass, { first: 0, count: 3 }, 3)]).toEqual([111, 222, 333])
  expect([...sumHeads(mass, { first: 1, count: 1 }, 3)]).toEqual([10, 20, 30])
})

test('pooling takes the maximum of each value and its neighbours', () => {
  expect([...maxPooled(Float64Array.of(5, 1, 1, 1, 9, 1), 3)]).toEqual([5, 5, 1, 9, 9, 9])
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true }), { maxLength: 40 }), fc.constantFrom(1, 3, 7), (values, width) => {
      const reach = (width - 1) / 2
      const plain = values.map((_, at) => Math.max(...values.slice(Math.max(0, at - reach), at + reach + 1)))
      expect([...maxPooled(Float64Array.from(values), width)].map((value) => value + 0)).toEqual(
        plain.map((value) => value + 0),
      )
    }),
  )
})

test('the heaviest candidates stay, in order, of equal ones the earlier', () => {
  expect([...heaviestRows(Int32Array.of(1, 3, 4, 5), Float64Array.of(9, 2, 9, 1, 2, 5), 2)]).toEqual([1, 5])
  expect([...heaviestRows(Int32Array.of(1, 3), Float64Array.of(9, 2, 9, 1), 5)]).toEqual([1, 3])
})
