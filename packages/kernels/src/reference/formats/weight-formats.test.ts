import { describe, expect, test } from 'vitest'
import type { WeightType } from '../../kernels.ts'
import { decodeRows, rowBytes, weightFormats } from './weight-formats.ts'

const one = [0x00, 0x3c] // float16 1
const two = [0x00, 0x40] // float16 2

/** `count` numbers by index; adding 0 makes -0 a plain 0. */
function bytes(count: number, numberAt: (index: number) => number): number[] {
  return Array.from({ length: count }, (_, index) => numberAt(index) + 0)
}

function decode(type: WeightType, block: readonly number[]): number[] {
  const out = new Float32Array(weightFormats[type].blockValues)
  expect(block.length).toBe(weightFormats[type].blockBytes)
  decodeRows(type, Uint8Array.from(block), out, 0)
  return Array.from(out, (value) => value + 0)
}

// Codes are laid out so that value k has a code that can be told from k.
const ascending = bytes(16, (j) => j | ((15 - j) << 4))
const nibbleOf = (k: number) => (k < 16 ? k : 31 - k)

describe('blocks of 32', () => {
  test('Q4_0: d (q - 8)', () => {
    expect(decode('Q4_0', [...two, ...ascending])).toEqual(bytes(32, (k) => 2 * (nibbleOf(k) - 8)))
  })
  test('Q4_1: d q + m', () => {
    expect(decode('Q4_1', [...two, ...one, ...ascending])).toEqual(bytes(32, (k) => 2 * nibbleOf(k) + 1))
  })
  test('Q5_0: d (q - 16), the fifth bit of value k at bit k', () => {
    const fifth = [0b00000001, 0, 0b10000000, 0]
    const expected = bytes(32, (k) => nibbleOf(k) + (k === 0 || k === 23 ? 16 : 0) - 16)
    expect(decode('Q5_0', [...one, ...fifth, ...ascending])).toEqual(expected)
  })
  test('Q5_1: d q + m', () => {
    const fifth = [0, 0b00000100, 0, 0b01000000]
    const expected = bytes(32, (k) => 2 * (nibbleOf(k) + (k === 10 || k === 30 ? 16 : 0)) + 1)
    expect(decode('Q5_1', [...two, ...one, ...fifth, ...ascending])).toEqual(expected)
  })
  test('Q8_0: d q, signed', () => {
    expect(decode('Q8_0', [...two, ...bytes(32, (k) => (k - 16) & 255)])).toEqual(bytes(32, (k) => 2 * (k - 16)))
  })
  test('IQ4_NL: d times a level of the table', () => {
    const values = decode('IQ4_NL', [...one, ...ascending])
    expect([...values.slice(0, 3), values[15], values[16], values[31]]).toEqual([-127, -104, -83, 113, 113, -127])
  })
})

describe('blocks of 256', () => {
  // Two-bit codes: value k = 128 h + 32 s + l in bits 2 s of byte 32 h + l.
  const twoBits = bytes(64, (at) => [0, 1, 2, 3].reduce((byte, s) => byte | (((at + s) % 4) << (2 * s)), 0))
  const twoBitOf = (k: number) => (32 * (k >> 7) + (k % 32) + ((k >> 5) % 4)) % 4
  // Nibbles: value k = 64 c + 32 u + l in half u of byte 32 c + l.
  const nibbles = bytes(128, (at) => (at % 16) | (((at + 5) % 16) << 4))
  const fourBitOf = (k: number) => (32 * (k >> 6) + (k % 32) + (k % 64 < 32 ? 0 : 5)) % 16
  // Six-bit pairs: s = 3 j + 20, m = 60 - 5 j.
  const sixBits = () => {
    const s = bytes(8, (j) => 3 * j + 20)
    const m = bytes(8, (j) => 60 - 5 * j)
    return [
      ...bytes(4, (j) => s[j]! | ((s[j + 4]! >> 4) << 6)),
      ...bytes(4, (j) => m[j]! | ((m[j + 4]! >> 4) << 6)),
      ...bytes(4, (j) => (s[j + 4]! & 15) | ((m[j + 4]! & 15) << 4)),
    ]
  }

  test('Q2_K: d s q - dmin m over groups of 16', () => {
    const groups = bytes(16, (j) => j | ((15 - j) << 4))
    const expected = bytes(256, (k) => 2 * (k >> 4) * twoBitOf(k) - (15 - (k >> 4)))
    expect(decode('Q2_K', [...groups, ...twoBits, ...two, ...one])).toEqual(expected)
  })
  test('Q3_K: d (s - 32) (q - 4 without the high bit)', () => {
    const s = bytes(16, (j) => 4 * j + 1)
    const scales = [
      ...bytes(8, (j) => (s[j]! & 15) | ((s[j + 8]! & 15) << 4)),
      ...bytes(4, (j) => [0, 1, 2, 3].reduce((byte, i) => byte | ((s[j + 4 * i]! >> 4) << (2 * i)), 0)),
    ]
    const high = bytes(32, (l) => (l * 37) & 255)
    const expected = bytes(256, (k) => {
      const highBit = (high[k % 32]! >> (k >> 5)) & 1
      return 2 * (s[k >> 4]! - 32) * (twoBitOf(k) - (highBit ? 0 : 4))
    })
    expect(decode('Q3_K', [...high, ...twoBits, ...scales, ...two])).toEqual(expected)
  })
  test('Q4_K: d s q - dmin m over groups of 32', () => {
    const expected = bytes(256, (k) => 2 * (3 * (k >> 5) + 20) * fourBitOf(k) - (60 - 5 * (k >> 5)))
    expect(decode('Q4_K', [...two, ...one, ...sixBits(), ...nibbles])).toEqual(expected)
  })
  test('Q5_K: the same with a fifth bit', () => {
    const fifth = bytes(32, (l) => (l * 29 + 3) & 255)
    const expected = bytes(256, (k) => {
      const code = fourBitOf(k) + 16 * ((fifth[k % 32]! >> (k >> 5)) & 1)
      return (3 * (k >> 5) + 20) * code - (60 - 5 * (k >> 5))
    })
    expect(decode('Q5_K', [...one, ...one, ...sixBits(), ...fifth, ...nibbles])).toEqual(expected)
  })
  test('Q6_K: d s (q - 32) over groups of 16, s signed', () => {
    const q = (k: number) => (k * 11 + 5) % 64
    const low = bytes(128, (at) => {
      const first = 128 * (at >> 6) + (at % 64)
      return (q(first) & 15) | ((q(first + 64) & 15) << 4)
    })
    const high = bytes(64, (at) => {
      const first = 128 * (at >> 5) + (at % 32)
      return [0, 1, 2, 3].reduce((byte, i) => byte | ((q(first + 32 * i) >> 4) << (2 * i)), 0)
    })
    const scales = bytes(16, (j) => (5 * j - 40) & 255)
    const expected = bytes(256, (k) => 2 * (5 * (k >> 4) - 40) * (q(k) - 32))
    expect(decode('Q6_K', [...low, ...high, ...scales, ...two])).toEqual(expected)
  })
})

test('rows follow each other without gaps', () => {
  expect([rowBytes('Q4_K', 512), rowBytes('Q8_0', 64), rowBytes('BF16', 3)]).toEqual([288, 68, 6])
  const out = new Float32Array(9).fill(9)
  decodeRows('F16', Uint8Array.from([...one, ...two, ...two, ...one]), out, 3)
  expect([...out]).toEqual([9, 9, 9, 1, 2, 2, 1, 9, 9])
})
