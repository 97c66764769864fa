import { type EncodedSegment, roundHalfEven } from './encode-segment.ts'
import { type CodeBits, levelOf } from './residual-codes.ts'

/**
 * Estimated attention scores of a segment's tokens for one query head q [headDim]:
 * (q.mean + sum_i w_i level_i) * scale with w_i = q_i deviation_i rounded to 8 bits, the largest to +-127.
 */
export function estimateScores(segment: EncodedSegment, q: Float32Array, scale: number, bits: CodeBits): Float64Array {
  const { fround } = Math
  const { mean, deviationSteps, step, codes } = segment
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
