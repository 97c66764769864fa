/** 16-bit floats: IEEE 754 binary16, and the upper half of a float32. */
export type HalfType = 'f16' | 'bf16'

export interface HalfCodec {
  decode(bits: number): number
  /** To the nearest, ties to even; NaN stays NaN, and what is too large becomes infinite. */
  encode(value: number): number
}

/** Reads and writes 16-bit floats as bits. */
export function halfCodec(type: HalfType): HalfCodec {
  const float = new Float32Array(1)
  const word = new Uint32Array(float.buffer)
  return type === 'bf16' ? bf16Codec(float, word) : f16Codec(float, word)
}

function bf16Codec(float: Float32Array, word: Uint32Array): HalfCodec {
  return {
    decode: (bits) => {
      word[0] = bits << 16
      return float[0] as number
    },
    encode: (value) => {
      float[0] = value
      const bits = word[0] as number
      if (Number.isNaN(value)) return (bits >>> 16) | 0x40
      return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
    },
  }
}

function f16Codec(float: Float32Array, word: Uint32Array): HalfCodec {
  return {
    decode: (bits) => {
      const sign = bits & 0x8000 ? -1 : 1
      const exponent = (bits >>> 10) & 31
      const fraction = bits & 1023
      if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
      if (exponent === 0) return sign * fraction * 2 ** -24
      word[0] = ((bits & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13)
      return float[0] as number
    },
    encode: (value) => {
      float[0] = value
      const bits = word[0] as number
      const sign = (bits >>> 16) & 0x8000
      const size = bits & 0x7fffffff
      if (size > 0x7f800000) return sign | 0x7e00
      if (size >= halfway) return sign | 0x7c00
      if (size < smallestNormal) return sign | nearestEven(Math.abs(float[0] as number) * 2 ** 24)
      return sign | ((size - (112 << 23) + 0xfff + ((size >>> 13) & 1)) >>> 13)
    },
  }
}

/** 65,520 as float32: from here on values are nearer to 2^16 than to the largest f16. */
const halfway = 0x477ff000

/** 2^-14 as float32. */
const smallestNormal = 0x38800000

/** Adding 1.5 * 2^52 leaves no bits below 1. */
function nearestEven(value: number): number {
  return value + 6755399441055744 - 6755399441055744
}
