import { expect, test } from 'vitest'
import { bfloatToFloat, floatToHalf, halfToFloat, roundToHalf } from './float16.ts'

test('every float16 number is its own rounding', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = halfToFloat(bits)
    if (Number.isFinite(value)) expect(Object.is(roundToHalf(value), value)).toBe(true)
  }
})

test('every float16 number has its own bits', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = halfToFloat(bits)
    if (!Number.isNaN(value)) expect(floatToHalf(value)).toBe(bits)
  }
  expect(halfToFloat(floatToHalf(Number.NaN))).toBeNaN()
})

test('numbers between two float16 neighbours go to the nearer, ties to the even one', () => {
  for (let bits = 0; bits < 0x7bff; bits += 7) {
    const [low, high] = [halfToFloat(bits), halfToFloat(bits + 1)]
    const middle = (low + high) / 2
    expect(roundToHalf(low + (high - low) * 0.49)).toBe(low)
    expect(roundToHalf(low + (high - low) * 0.51)).toBe(high)
    expect(roundToHalf(middle)).toBe(bits % 2 === 0 ? low : high)
    expect(roundToHalf(-middle)).toBe(-roundToHalf(middle))
  }
})

test('what float16 cannot hold saturates; NaN stays', () => {
  expect([65504, 65519, 65520, 1e9, Infinity].map(roundToHalf)).toEqual([65504, 65504, 65504, 65504, 65504])
  expect(roundToHalf(-Infinity)).toBe(-65504)
  expect(roundToHalf(Number.NaN)).toBeNaN()
})

test('known bit patterns', () => {
  const halves = [0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff].map(halfToFloat)
  expect(halves).toEqual([1, -2, 0.333251953125, 2 ** -24, 65504])
  expect([0x3f80, 0xc000, 0x4049].map(bfloatToFloat)).toEqual([1, -2, 3.140625])
})
