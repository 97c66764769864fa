import type { RopeSpec } from '@kvasir/core'
import { attentionFactor, inverseFrequencies } from './frequencies.ts'

/** cos and sin [rows][rotaryDim / 2], amplitude included. */
export interface RopeTable {
  readonly cos: Float32Array
  readonly sin: Float32Array
}

/** Rotations of the given positions; angles in float64, rounded once. */
export function ropeTable(spec: RopeSpec, positions: ArrayLike<number>, seqLenTokens = 0): RopeTable {
  const frequencies = inverseFrequencies(spec, seqLenTokens)
  const amplitude = attentionFactor(spec)
  const pairs = frequencies.length
  const cos = new Float32Array(positions.length * pairs)
  const sin = new Float32Array(positions.length * pairs)
  for (let row = 0; row < positions.length; row++) {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = positions[row] * frequencies[pair]
      cos[row * pairs + pair] = amplitude * Math.cos(angle)
      sin[row * pairs + pair] = amplitude * Math.sin(angle)
    }
  }
  return { cos, sin }
}
