import type { VectorBits } from '../../selection.ts'
import { roundToHalf } from '../float16.ts'

/** Deviations of a segment's channels as they are stored. */
export interface StoredDeviations {
  /** [headDim] deviation of each channel in steps, 0 to 255 */
  readonly deviationSteps: Uint8Array
  /** A channel's deviation is deviationSteps * step; float16. */
  readonly step: number
}

/** What four bits of a deviation stand for, in steps: two an octave. */
const coarseSteps = [255, 180, 128, 90, 64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2, 0]
const coarseEdges = [214.2, 151.8, 107.3, 75.9, 53.7, 38, 27.1, 19.2, 13.3, 9.38, 6.93, 4.9, 3.46, 2.45, 1].map(
  Math.fround,
)

/** [headDim] mean of rows [tokens][headDim]: float32 sums in the order of the tokens. */
export function meanOfRows(rows: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(rows[0]!.length)
  for (const row of rows) for (let i = 0; i < mean.length; i++) mean[i]! += row[i]!
  return mean.map((sum) => sum / rows.length)
}

/** What a mean [headDim] is stored as: 16 bits: float16; 8 bits: int8 with one float16 step a vector. */
export function storeMean(mean: Float32Array, bits: VectorBits): Float32Array {
  if (bits === 16) return mean.map(roundToHalf)
  const step = halfAbove(Math.fround(largest(mean) / 127))
  // An int8 has one zero.
  return mean.map((x) => (step > 0 ? roundHalfEven(Math.fround(x / step)) * step + 0 : 0))
}

/** Stores deviations [headDim]: 16 bits: as a byte each; 8 bits: as four bits. */
export function storeDeviations(deviation: Float32Array, bits: VectorBits): StoredDeviations {
  const { fround } = Math
  const step = roundToHalf(fround(largest(deviation) / 255))
  const levels = Array.from(deviation, (x) => (step > 0 ? fround(x / step) : 0))
  const stored = (level: number) => {
    if (bits === 8) return coarseSteps[coarseEdges.filter((x) => level < x).length]!
    return level > 255 ? 255 : roundHalfEven(level)
  }
  return { deviationSteps: Uint8Array.from(levels, stored), step }
}

/** Largest absolute value, 0 of none. */
export function largest(values: Float32Array): number {
  return values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
}

/** The smallest float16 at or above x >= 0; infinity beyond the largest. */
export function halfAbove(x: number): number {
  if (x > 65504) return Infinity
  const half = roundToHalf(x)
  if (half >= x) return half
  return half + 2 ** (Math.max(Math.floor(Math.log2(half || 2 ** -24)), -14) - 10)
}

/** The nearest whole number, ties to even. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  if (rest !== 0.5) return Math.round(x)
  return floor % 2 === 0 ? floor : floor + 1
}
