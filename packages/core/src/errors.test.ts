import { expect, test } from 'vitest'
import * as errors from './errors.ts'

test('an error says what was expected, what came and what mends it', () => {
  const cause = new Error('why')
  const error = new errors.OptionError({ parameter: 'a.b', expected: 'a number', got: 'x', remedy: 'Do this.', cause })
  expect(error.message).toBe('a.b: expected a number, got "x". Do this.')
  expect(error).toMatchObject({ name: 'OptionError', parameter: 'a.b', expected: 'a number', got: '"x"', cause })
  expect(error).toBeInstanceOf(errors.KvasirError)
})

test.each([
  ['a'.repeat(100), `"${'a'.repeat(77)}..."`],
  [[1, 'b', 2, 3, 4, 5, 6, 7, 8], '[1, "b", 2, 3, 4, 5, 6, 7, ...]'],
  [[[[[1]]]], '[[an array of 1]]'],
  [new Float32Array(3), 'Float32Array of 12 bytes'],
  [() => 1, 'function (anonymous)'],
  [{ a: 1, b: 2 }, 'an object with keys a, b'],
  [new RangeError('far'), 'RangeError (far)'],
  [null, 'null'],
  [Symbol('s'), 'Symbol(s)'],
])('renders %s short', (got, rendered) => {
  expect(new errors.PlanError({ parameter: 'p', expected: 'e', got }).got).toBe(rendered)
})

test('each failure that a caller may handle has its class', () => {
  for (const [name, Class] of Object.entries(errors)) {
    const error = new Class({ parameter: 'p', expected: 'e', got: 1 })
    expect(error.name).toBe(name)
    expect(error.remedy).toBeUndefined()
  }
})
