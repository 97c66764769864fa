import type { VectorBits } from '../../selection.ts'
import { roundToHalf } from '../float16.ts'

/** Mean and deviation of a segment as they are stored. */
export interface StoredVectors {
  /** [headDim] */
  readonly mean: Float32Array
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

/**
 * Stores mean and deviation [headDim]. 16 bits: mean as float16, deviation as a byte; 8 bits: mean as an int8 with one
 * float16 step a vector, deviation as four bits.
 */
export function storeVectors(mean: Float32Array, deviation: Float32Array, bits: VectorBits): StoredVectors {
  const { fround } = Math
  const most = (values: Float32Array) => values.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0)
  const step = roundToHalf(fround(most(deviation) / 255))
  const levels = Array.from(deviation, (x) => (step > 0 ? fround(x / step) : 0))
  if (bits === 16) {
    const deviationSteps = Uint8Array.from(levels, (level) => (level > 255 ? 255 : roundHalfEven(level)))
    return { mean: mean.map(roundToHalf), deviationSteps, step }
  }
  const meanStep = halfAbove(fround(most(mean) / 127))
  const deviationSteps = Uint8Array.from(levels, (level) => coarseSteps[coarseEdges.filter((x) => level < x).length]!)
  const whole = (x: number) => (meanStep > 0 ? roundHalfEven(fround(x / meanStep)) : 0)
  return { mean: mean.map((x) => whole(x) * meanStep), deviationSteps, step }
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
