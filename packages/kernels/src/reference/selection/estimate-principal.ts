import type { PrincipalSegment } from './encode-principal.ts'
import { type PrincipalChannel, zeroOf } from './principal-basis.ts'
import { largest, roundHalfEven } from './stored-vectors.ts'

/** A query head's weights of the channels: weight c is whole[c] * unit. */
export interface PrincipalQuery {
  /** [channels] -127 to 127 */
  readonly whole: readonly number[]
  readonly unit: number
  /** [channels] code that stands for 0 */
  readonly zeros: readonly number[]
}

/** Weights q.direction * step of a query head q [headDim], rounded to 8 bits, the largest to +-127. */
export function principalQuery(q: Float32Array, channels: readonly PrincipalChannel[]): PrincipalQuery {
  const { fround } = Math
  const weights = Float32Array.from(
    channels,
    ({ direction, step }) => q.reduce((sum, x, i) => sum + x * direction[i]!, 0) * step,
  )
  const most = largest(weights)
  const inverse = most > 1e-30 ? fround(127 / most) : 0
  return {
    whole: Array.from(weights, (w) => roundHalfEven(fround(w * inverse))),
    unit: most / 127,
    zeros: channels.map(({ bits }) => zeroOf(bits)),
  }
}

/** [tokens] scale (q.mean + sum_c weight_c (code_c - zero_c)) of a segment */
export function estimatePrincipal(
  { mean, codes }: PrincipalSegment,
  q: Float32Array,
  scale: number,
  { whole, unit, zeros }: PrincipalQuery,
): number[] {
  const base = q.reduce((sum, x, i) => sum + x * mean[i]!, 0)
  return codes.map((row) => {
    let residual = 0
    for (let c = 0; c < row.length; c++) residual += whole[c]! * (row[c]! - zeros[c]!)
    return scale * (base + unit * residual)
  })
}

/**
 * At most so much is the score q.k * scale of a token above its estimate: |q| radius by Cauchy and Schwarz, and half a
 * unit of each weight times the largest |code - zero|; a little more makes up for float32.
 */
export function principalBound(
  radius: number,
  q: Float32Array,
  scale: number,
  { unit, zeros }: PrincipalQuery,
): number {
  const rounding = 0.5 * unit * zeros.reduce((sum, zero) => sum + zero, 0)
  return scale * (Math.hypot(...q) * radius + rounding) + 2 ** -7 * Math.LN2
}
