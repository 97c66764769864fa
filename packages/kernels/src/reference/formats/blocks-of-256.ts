import { halfToFloat } from '../float16.ts'
import type { WeightFormat } from './weight-format.ts'

// 256 values share a float16 scale d; each group of 16 or 32 has its own small integer scale s (and minimum m):
// value = (d s) q, or (d s) q - (dmin m).

export const q2_k: WeightFormat = {
  blockValues: 256,
  blockBytes: 84, // 16 bytes of s | m << 4, 64 bytes of 2-bit codes, d, dmin
  decode: (data, at, out, outAt) => {
    const d = half(data, at + 80)
    const dmin = half(data, at + 82)
    for (let k = 0; k < 256; k++) {
      const group = data.getUint8(at + (k >> 4))
      const scale = Math.fround(d * (group & 15))
      const min = Math.fround(dmin * (group >> 4))
      out[outAt + k] = Math.fround(scale * twoBits(data, at + 16, k)) - min
    }
  },
}

export const q3_k: WeightFormat = {
  blockValues: 256,
  blockBytes: 110, // 32 bytes of high bits, 64 bytes of 2-bit codes, 12 bytes of 6-bit s, d
  decode: (data, at, out, outAt) => {
    const d = half(data, at + 108)
    for (let k = 0; k < 256; k++) {
      const group = k >> 4
      const low = data.getUint8(at + 96 + (group % 8)) >> (group < 8 ? 0 : 4)
      const high = data.getUint8(at + 104 + (group % 4)) >> (2 * (group >> 2))
      const scale = Math.fround(d * (((low & 15) | ((high & 3) << 4)) - 32))
      const highBit = (data.getUint8(at + (k % 32)) >> (k >> 5)) & 1
      out[outAt + k] = scale * (twoBits(data, at + 32, k) + 4 * highBit - 4)
    }
  },
}

export const q4_k: WeightFormat = {
  blockValues: 256,
  blockBytes: 144, // d, dmin, 12 bytes of 6-bit s and m, 128 bytes of codes
  decode: (data, at, out, outAt) => {
    for (let k = 0; k < 256; k++) {
      const [scale, min] = scaleAndMin(data, at, k >> 5)
      out[outAt + k] = Math.fround(scale * nibble(data, at + 16, k)) - min
    }
  },
}

export const q5_k: WeightFormat = {
  blockValues: 256,
  blockBytes: 176, // d, dmin, 12 bytes of 6-bit s and m, 32 bytes of fifth bits, 128 bytes of codes
  decode: (data, at, out, outAt) => {
    for (let k = 0; k < 256; k++) {
      const [scale, min] = scaleAndMin(data, at, k >> 5)
      const fifthBit = (data.getUint8(at + 16 + (k % 32)) >> (k >> 5)) & 1
      out[outAt + k] = Math.fround(scale * (nibble(data, at + 48, k) + 16 * fifthBit)) - min
    }
  },
}

export const q6_k: WeightFormat = {
  blockValues: 256,
  blockBytes: 210, // 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed bytes s, d
  decode: (data, at, out, outAt) => {
    const d = half(data, at + 208)
    for (let k = 0; k < 256; k++) {
      const quarter = (k >> 5) % 4
      const lowByte = data.getUint8(at + 64 * (k >> 7) + 32 * (quarter % 2) + (k % 32))
      const low = quarter < 2 ? lowByte & 15 : lowByte >> 4
      const high = (data.getUint8(at + 128 + 32 * (k >> 7) + (k % 32)) >> (2 * quarter)) & 3
      const scale = Math.fround(d * data.getInt8(at + 192 + (k >> 4)))
      out[outAt + k] = scale * ((low | (high << 4)) - 32)
    }
  },
}

/** d s and dmin m of group j of 8. The first four lie in bytes of their own, whose top bits complete the last four. */
function scaleAndMin(data: DataView, at: number, j: number): [number, number] {
  const byte = (i: number) => data.getUint8(at + 4 + i)
  const scale = j < 4 ? byte(j) & 63 : (byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4)
  const min = j < 4 ? byte(j + 4) & 63 : (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)
  return [Math.fround(half(data, at) * scale), Math.fround(half(data, at + 2) * min)]
}

function half(data: DataView, at: number): number {
  return halfToFloat(data.getUint16(at, true))
}

/** Code k where 32 bytes hold 128 values: value k in bit pair floor(k / 32) of byte k mod 32. */
function twoBits(data: DataView, at: number, k: number): number {
  return (data.getUint8(at + 32 * (k >> 7) + (k % 32)) >> (2 * ((k >> 5) % 4))) & 3
}

/** Code k where 32 bytes hold 64 values: the first 32 in the low four bits. */
function nibble(data: DataView, at: number, k: number): number {
  const byte = data.getUint8(at + 32 * (k >> 6) + (k % 32))
  return k % 64 < 32 ? byte & 15 : byte >> 4
}
