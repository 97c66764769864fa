import type { CodeBits, VectorBits } from '../../selection.ts'
import { codeOf, levelOf } from './residual-codes.ts'
import { halfAbove, meanOfRows, type StoredDeviations, storeDeviations, storeMean } from './stored-vectors.ts'

/** Statistics of one segment and codes of its tokens, for one KV head. */
export interface EncodedSegment extends StoredDeviations {
  /** [headDim] mean as it is stored */
  readonly mean: Float32Array
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
  const exactMean = meanOfRows(rows)
  const deviation = new Float32Array(headDim)
  for (const row of rows) {
    for (let i = 0; i < headDim; i++) {
      const distance = fround(row[i]! - exactMean[i]!)
      deviation[i]! += fround(distance * distance)
    }
  }
  for (let i = 0; i < headDim; i++) deviation[i] = Math.sqrt(fround(deviation[i]! / rows.length))

  const mean = storeMean(exactMean, vectorBits)
  const { deviationSteps, step } = storeDeviations(deviation, vectorBits)
  const codes = rows.map((row) =>
    deviationSteps.map((steps, i) =>
      codeOf(steps > 0 ? fround(fround(row[i]! - mean[i]!) / fround(steps * step)) : 0, codeBits),
    ),
  )
  const distances = rows.map((row, token) => {
    const estimate = (i: number) => mean[i]! + deviationSteps[i]! * step * levelOf(codes[token]![i]!, codeBits)
    return Math.hypot(...row.map((k, i) => k - estimate(i)))
  })
  return { mean, deviationSteps, step, codes, radius: halfAbove(Math.max(...distances) * 1.00001) }
}
