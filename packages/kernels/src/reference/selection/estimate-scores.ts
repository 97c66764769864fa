import type { CodeBits } from '../../selection.ts'
import type { EncodedSegment } from './encode-segment.ts'
import { levelOf } from './residual-codes.ts'
import { roundHalfEven } from './stored-vectors.ts'

/**
 * Estimated attention scores of a segment's tokens for one query head q [headDim]:
 * (q.mean + sum_i w_i level_i) * scale with w_i = q_i deviation_i rounded to 8 bits, the largest to +-127; without codes
 * the same for all, its density.
 */
export function estimateScores(segment: EncodedSegment, q: Float32Array, scale: number, bits: CodeBits): Float64Array {
  const { fround } = Math
  const { mean, deviationSteps, step, codes } = segment
  if (bits === 0) return new Float64Array(codes.length).fill(segmentDensity(segment, q, scale))
  const products = q.map((x, i) => x * deviationSteps[i]!)
  const largest = products.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  const inverse = largest > 1e-30 ? fround(127 / largest) : 0
  const weights = Array.from(products, (x) => roundHalfEven(fround(x * inverse)))

  let base = 0
  for (let i = 0; i < q.length; i++) base += q[i]! * mean[i]!
  return Float64Array.from(codes, (row) => {
    let residual = 0
    for (let i = 0; i < q.length; i++) residual += weights[i]! * levelOf(row[i]!, bits)
    return (base + (residual * largest * step) / 127) * scale
  })
}

/**
 * Logarithm of the mean of exp(scale q.k) over a segment whose keys are normal in each channel:
 * scale q.mean + scale^2 sum_i (q_i deviation_i)^2 / 2.
 */
export function segmentDensity({ mean, deviationSteps, step }: EncodedSegment, q: Float32Array, scale: number): number {
  let dot = 0
  let squares = 0
  for (let i = 0; i < q.length; i++) {
    dot += q[i]! * mean[i]!
    squares += (q[i]! * deviationSteps[i]! * step) ** 2
  }
  return scale * dot + (scale ** 2 * squares) / 2
}
