import type { WeightType } from '../../kernels.ts'
import { iq4_nl, q4_0, q4_1, q5_0, q5_1, q8_0 } from './blocks-of-32.ts'
import { q2_k, q3_k, q4_k, q5_k, q6_k } from './blocks-of-256.ts'
import { bf16, f16, f32 } from './plain-floats.ts'
import type { WeightFormat } from './weight-format.ts'

export const weightFormats: Readonly<Record<WeightType, WeightFormat>> = {
  F32: f32,
  F16: f16,
  BF16: bf16,
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q2_K: q2_k,
  Q3_K: q3_k,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
}

/** Bytes of one row of `cols` values; cols is a multiple of the format's blockValues. */
export function rowBytes(type: WeightType, cols: number): number {
  const { blockValues, blockBytes } = weightFormats[type]
  return (cols / blockValues) * blockBytes
}

/** Decodes whole rows as they stand in a GGUF file: out [bytes / rowBytes][cols] from `outAt` on. */
export function decodeRows(type: WeightType, bytes: Uint8Array, out: Float32Array, outAt: number): void {
  const { blockValues, blockBytes, decode } = weightFormats[type]
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let block = 0; block * blockBytes < bytes.length; block++) {
    decode(data, block * blockBytes, out, outAt + block * blockValues)
  }
}
