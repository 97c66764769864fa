import { seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { halfCodec } from './half-floats.ts'

const allBits = Array.from({ length: 65_536 }, (_, bits) => bits)

/** By definition: sign, exponent, fraction. */
function defined(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits
  const bias = 2 ** (exponentBits - 1) - 1
  const sign = bits >= 32_768 ? -1 : 1
  const exponent = (bits % 32_768) >>> fractionBits
  const fraction = (bits % 2 ** fractionBits) / 2 ** fractionBits
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias)
}

describe.each([
  ['f16', 5],
  ['bf16', 8],
] as const)('%s', (type, exponentBits) => {
  const { decode, encode } = halfCodec(type)

  test('reads all 65,536 values by definition, and writes them back', () => {
    for (const bits of allBits) {
      const value = decode(bits)
      expect(Object.is(value, defined(bits, exponentBits))).toBe(true)
      if (Number.isNaN(value)) expect(decode(encode(value))).toBeNaN()
      else expect(encode(value)).toBe(bits)
    }
  })

  test('rounds to the nearest, halves to the even one', () => {
    const random = seededRandom(1)
    for (const below of allBits) {
      const [low, high] = [decode(below), decode(below + 1)]
      if (!Number.isFinite(low) || !Number.isFinite(high) || below === 0x7fff) continue
      expect(encode((low + high) / 2)).toBe(below % 2 === 0 ? below : below + 1)
      const share = random.uniform()
      if (Math.abs(share - 0.5) < 1e-3) continue
      expect(encode(low + share * (high - low))).toBe(share < 0.5 ? below : below + 1)
    }
  })

  test('overflows to infinity and keeps NaN', () => {
    expect(decode(encode(3.4028235e38))).toBe(Number.POSITIVE_INFINITY)
    expect(decode(encode(Number.NEGATIVE_INFINITY))).toBe(Number.NEGATIVE_INFINITY)
    expect(decode(encode(Number.NaN))).toBeNaN()
  })
})

test('f16 turns at 65,520', () => {
  const { encode } = halfCodec('f16')
  expect(encode(65_519.99)).toBe(0x7bff)
  expect(encode(65_520)).toBe(0x7c00)
})
