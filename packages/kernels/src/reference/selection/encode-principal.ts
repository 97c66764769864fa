import { type PrincipalChannel, zeroOf } from './principal-basis.ts'
import { halfAbove } from './stored-vectors.ts'

const { fround } = Math

/** Mean of one segment and codes of its tokens in principal channels. */
export interface PrincipalSegment {
  /** [headDim] as it is stored */
  readonly mean: Float32Array
  /** [tokens][channels] */
  readonly codes: readonly Uint8Array[]
  /** [tokens][headDim] what the codes stand for: a key is about mean + level */
  readonly levels: readonly Float32Array[]
  /** Largest distance of a key from that, rounded up to float16. */
  readonly radius: number
}

/** [tokens][headDim] rows less the mean, float32. */
export function residualsOf(rows: readonly Float32Array[], mean: Float32Array): Float32Array[] {
  return rows.map((row) => row.map((k, i) => k - mean[i]!))
}

/** Encodes keys `rows` [tokens][headDim] of a segment with this stored mean, in float32, one rounding an operation. */
export function encodePrincipal(
  rows: readonly Float32Array[],
  mean: Float32Array,
  channels: readonly PrincipalChannel[],
): PrincipalSegment {
  const residuals = residualsOf(rows, mean)
  const codes = residuals.map((r) => Uint8Array.from(channels, (channel) => codeIn(channel, r)))
  const levels = codes.map((row) => levelsOf(row, channels))
  const distances = residuals.map((r, token) => lengthOf(r.map((x, i) => x - levels[token]![i]!)))
  return { mean, codes, levels, radius: halfAbove(fround(Math.max(...distances) * fround(1.00001))) }
}

/** Number of the interval of width `step` that holds the residual's component; half of them are below 0. */
function codeIn({ direction, bits, step }: PrincipalChannel, residual: Float32Array): number {
  if (bits === 0) return 0
  const half = 2 ** (bits - 1)
  if (step === 0) return half
  let component = 0
  for (let i = 0; i < direction.length; i++) component = fround(component + fround(direction[i]! * residual[i]!))
  return Math.min(2 ** bits - 1, Math.max(0, Math.floor(fround(component / step)) + half))
}

function levelsOf(codes: Uint8Array, channels: readonly PrincipalChannel[]): Float32Array {
  const level = new Float32Array(codes.length)
  channels.forEach(({ direction, bits, step }, c) => {
    if (bits === 0) return
    const component = fround((codes[c]! - zeroOf(bits)) * step)
    for (let i = 0; i < level.length; i++) level[i]! += fround(direction[i]! * component)
  })
  return level
}

/** Length in float32, of sixteen partial sums that are added in order. */
function lengthOf(vector: Float32Array): number {
  const sums = new Float32Array(16)
  vector.forEach((x, i) => {
    sums[i % 16]! += fround(x * x)
  })
  return fround(Math.sqrt(sums.reduce((total, sum) => fround(total + sum), 0)))
}
