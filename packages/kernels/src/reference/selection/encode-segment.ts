import type { CodeBits, VectorBits } from '../../selection.ts'
import { codeOf, levelOf } from './residual-codes.ts'
import { halfAbove, type StoredVectors, storeVectors } from './stored-vectors.ts'

/** Statistics of one segment and codes of its tokens, for one KV head. */
export interface EncodedSegment extends StoredVectors {
  /** [tokens][headDim] codes of the residuals (k - mean) / deviation; a residual counts as 0 where the deviation is. */
  readonly codes: readonly Uint8Array[]
  /** Largest distance of a key from mean + deviation * level, rounded up to float16. */
  readonly radius: number
}

/**
 * Encodes the rotated keys of one segment, `rows` [tokens][headDim], tokens >= 1. Residuals are taken against the mean
 * and deviation as they are stored. Sums are float32 in the order of the tokens, which is what native code does.
 */
export function encodeSegment(
  rows: readonly Float32Array[],
  codeBits: CodeBits,
  vectorBits: VectorBits = 16,
): EncodedSegment {
  const { fround } = Math
  const headDim = (rows[0] as Float32Array).length
  const mean = new Float32Array(headDim)
  const deviation = new Float32Array(headDim)
  for (const row of rows) for (let i = 0; i < headDim; i++) mean[i]! += row[i]!
  for (let i = 0; i < headDim; i++) mean[i]! /= rows.length
  for (const row of rows) {
    for (let i = 0; i < headDim; i++) {
      const distance = fround(row[i]! - mean[i]!)
      deviation[i]! += fround(distance * distance)
    }
  }
  for (let i = 0; i < headDim; i++) deviation[i] = Math.sqrt(fround(deviation[i]! / rows.length))

  const stored = storeVectors(mean, deviation, vectorBits)
  const { deviationSteps, step } = stored
  const codes = rows.map((row) =>
    deviationSteps.map((steps, i) =>
      codeOf(steps > 0 ? fround(fround(row[i]! - stored.mean[i]!) / fround(steps * step)) : 0, codeBits),
    ),
  )
  const distances = rows.map((row, token) => {
    const estimate = (i: number) => stored.mean[i]! + deviationSteps[i]! * step * levelOf(codes[token]![i]!, codeBits)
    return Math.hypot(...row.map((k, i) => k - estimate(i)))
  })
  return { ...stored, codes, radius: halfAbove(Math.max(...distances) * 1.00001) }
}
