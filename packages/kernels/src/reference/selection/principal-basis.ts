import type { CodeBits } from '../../selection.ts'
import { roundToHalf } from '../float16.ts'
import { jacobiSweep } from './jacobi-sweep.ts'

/** A basis is made from the first segments that cover so many tokens. */
export const basisTokens = 256

/** One principal channel of a KV head. */
export interface PrincipalChannel {
  /** [headDim] direction, float16 */
  readonly direction: Float32Array
  readonly bits: CodeBits
  /** Width of a code's interval; 0 for a channel without codes. */
  readonly step: number
}

/** Best steps of uniform codes for a normal variable of deviation 1, a quarter wider for the heavier tails of keys. */
const unitSteps: Readonly<Record<CodeBits, number>> = { 0: 0, 1: 1.995, 2: 1.245, 4: 0.419 }

/** What stands for a component of 0: a code x stands for (x - zero) steps. */
export function zeroOf(bits: CodeBits): number {
  return (2 ** bits - 1) / 2
}

/**
 * Channels of largest variance first, from residuals [tokens][headDim]: one Jacobi sweep over their second moments. The
 * 32-bit words that codeBits a channel would take are shared out so that large variances get more bits than small ones.
 */
export function principalBasis(residuals: readonly Float32Array[], codeBits: CodeBits): PrincipalChannel[] {
  const { vectors, diagonal } = jacobiSweep(secondMoments(residuals))
  const bits = channelBits(codeBits, vectors.length)
  const order = Array.from(diagonal.keys()).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b)
  return order.map((c, place) => ({
    direction: Float32Array.from(vectors[c]!, (x) => roundToHalf(Math.fround(x))),
    bits: bits[place]!,
    step: Math.fround(Math.sqrt(Math.max(0, diagonal[c]!)) * unitSteps[bits[place]!]),
  }))
}

/** Words of 32 bits that the codes of a token take. */
export function codeWords(codeBits: CodeBits, headDim: number): number {
  return Math.ceil((codeBits * headDim) / 32)
}

/** [headDim] bits of each channel, most important first: half of the words hold 4 bits a channel, the others 2 or 1. */
export function channelBits(codeBits: CodeBits, headDim: number): CodeBits[] {
  const words = codeWords(codeBits, headDim)
  const fours = codeBits === 4 ? words : Math.floor(words / 2)
  const covered = (ones: number) => 8 * fours + 16 * (words - fours - ones) + 32 * ones
  const sufficing = Array.from({ length: words - fours + 1 }, (_, ones) => ones).find((n) => covered(n) >= headDim)
  const ones = sufficing ?? 0
  const twos = words - fours - ones
  return Array.from({ length: headDim }, (_, place): CodeBits => {
    if (place < 8 * fours) return 4
    if (place < 8 * fours + 16 * twos) return 2
    return place < 8 * fours + 16 * twos + 32 * ones ? 1 : 0
  })
}

/** [headDim][headDim] sums over tokens of r_i r_j in float64, divided by their number. */
function secondMoments(residuals: readonly Float32Array[]): Float64Array[] {
  const headDim = residuals[0]!.length
  const moments = Array.from({ length: headDim }, () => new Float64Array(headDim))
  for (const r of residuals) {
    for (let i = 0; i < headDim; i++) {
      const row = moments[i]!
      for (let j = i; j < headDim; j++) row[j]! += r[i]! * r[j]!
    }
  }
  for (let i = 0; i < headDim; i++) {
    for (let j = i; j < headDim; j++) {
      moments[i]![j]! /= residuals.length
      moments[j]![i] = moments[i]![j]!
    }
  }
  return moments
}
