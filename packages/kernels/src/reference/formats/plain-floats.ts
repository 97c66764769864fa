import { bfloatToFloat, halfToFloat } from '../float16.ts'
import type { WeightFormat } from './weight-format.ts'

export const f32: WeightFormat = {
  blockValues: 1,
  blockBytes: 4,
  decode: (data, at, out, outAt) => {
    out[outAt] = data.getFloat32(at, true)
  },
}

export const f16: WeightFormat = {
  blockValues: 1,
  blockBytes: 2,
  decode: (data, at, out, outAt) => {
    out[outAt] = halfToFloat(data.getUint16(at, true))
  },
}

export const bf16: WeightFormat = {
  blockValues: 1,
  blockBytes: 2,
  decode: (data, at, out, outAt) => {
    out[outAt] = bfloatToFloat(data.getUint16(at, true))
  },
}
