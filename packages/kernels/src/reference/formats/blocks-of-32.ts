import { halfToFloat } from '../float16.ts'
import type { WeightFormat } from './weight-format.ts'

// 32 values share a float16 scale d (and a minimum m): value = d (q - offset) or d q + m.
// Byte j of the 16 code bytes holds value j in its low and value j + 16 in its high four bits.

export const q4_0: WeightFormat = {
  blockValues: 32,
  blockBytes: 18, // d, codes
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    for (let j = 0; j < 32; j++) out[outAt + j] = d * (nibble(data, at + 2, j) - 8)
  },
}

export const q4_1: WeightFormat = {
  blockValues: 32,
  blockBytes: 20, // d, m, codes
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    const m = half(data, at + 2)
    for (let j = 0; j < 32; j++) out[outAt + j] = Math.fround(d * nibble(data, at + 4, j)) + m
  },
}

export const q5_0: WeightFormat = {
  blockValues: 32,
  blockBytes: 22, // d, fifth bits, codes
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    for (let j = 0; j < 32; j++) out[outAt + j] = d * (nibble(data, at + 6, j) + 16 * fifthBit(data, at + 2, j) - 16)
  },
}

export const q5_1: WeightFormat = {
  blockValues: 32,
  blockBytes: 24, // d, m, fifth bits, codes
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    const m = half(data, at + 2)
    for (let j = 0; j < 32; j++) {
      const code = nibble(data, at + 8, j) + 16 * fifthBit(data, at + 4, j)
      out[outAt + j] = Math.fround(d * code) + m
    }
  },
}

export const q8_0: WeightFormat = {
  blockValues: 32,
  blockBytes: 34, // d, signed bytes
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    for (let j = 0; j < 32; j++) out[outAt + j] = d * data.getInt8(at + 2 + j)
  },
}

const iq4Levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]

export const iq4_nl: WeightFormat = {
  blockValues: 32,
  blockBytes: 18, // d, codes that index a table of levels
  decode: (data, at, out, outAt) => {
    const d = half(data, at)
    for (let j = 0; j < 32; j++) out[outAt + j] = d * (iq4Levels[nibble(data, at + 2, j)] as number)
  },
}

function half(data: DataView, at: number): number {
  return halfToFloat(data.getUint16(at, true))
}

function nibble(data: DataView, at: number, j: number): number {
  const byte = data.getUint8(at + (j % 16))
  return j < 16 ? byte & 15 : byte >> 4
}

function fifthBit(data: DataView, at: number, j: number): number {
  return (data.getUint8(at + (j >> 3)) >> (j & 7)) & 1
}
