import { roundToHalf } from '../float16.ts'
import { type CodeBits, codeOf } from './residual-codes.ts'

/** Statistics of one segment and codes of its tokens, for one KV head. */
export interface EncodedSegment {
  /** [headDim] mean key, as float16 holds it */
  readonly mean: Float32Array
  /** [headDim] standard deviation of each channel in whole steps, 0 to 255 */
  readonly deviationSteps: Uint8Array
  /** A channel's deviation is deviationSteps * step. */
  readonly step: number
  /** [tokens][headDim] codes of the residuals (k - mean) / deviation; a residual counts as 0 where the deviation is. */
  readonly codes: readonly Uint8Array[]
}

/**
 * Encodes the rotated keys of one segment, `rows` [tokens][headDim], tokens >= 1. Residuals are taken against the mean
 * and deviation as they are stored. Sums are float32 in the order of the tokens, which is what native code does.
 */
export function encodeSegment(rows: readonly Float32Array[], bits: CodeBits): EncodedSegment {
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

  const step = fround(deviation.reduce((most, x) => Math.max(most, x), 0) / 255)
  const deviationSteps = Uint8Array.from(deviation, (x) => (step > 0 ? roundHalfEven(fround(x / step)) : 0))
  const storedMean = mean.map(roundToHalf)
  const codes = rows.map((row) =>
    deviationSteps.map((steps, i) =>
      codeOf(steps > 0 ? fround(fround(row[i]! - storedMean[i]!) / fround(steps * step)) : 0, bits),
    ),
  )
  return { mean: storedMean, deviationSteps, step, codes }
}

/** The nearest whole number, ties to even. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  if (rest !== 0.5) return Math.round(x)
  return floor % 2 === 0 ? floor : floor + 1
}
