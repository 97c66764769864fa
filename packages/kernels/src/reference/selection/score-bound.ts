import type { CodeBits } from '../../selection.ts'
import type { EncodedSegment } from './encode-segment.ts'
import { largestLevel } from './residual-codes.ts'

/**
 * At most so much is the score q.k * scale of a segment's token above its estimate: |q| radius by Cauchy and Schwarz,
 * and half a step of 8 bits a channel for the rounding of the weights; a little more makes up for float32.
 */
export function scoreBound({ radius, step }: EncodedSegment, q: Float32Array, scale: number, bits: CodeBits): number {
  const norm = Math.hypot(...q)
  const largest = q.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  const rounding = bits === 0 ? 0 : (largestLevel(bits) * q.length * 0.5 * largest * 255 * step) / 127
  return scale * (norm * radius + rounding) + 2 ** -7 * Math.LN2
}
