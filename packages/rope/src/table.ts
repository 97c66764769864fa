import type { RopeSpec } from '@kvasir/core'
import { attentionFactor, inverseFrequencies } from './frequencies.ts'

/** Cosines and sines of rows of positions, times the attention factor. */
export interface RopeTable {
  readonly numRows: number
  /** [numRows][rotaryDim / 2] */
  readonly cos: Float32Array
  /** [numRows][rotaryDim / 2] */
  readonly sin: Float32Array
}

export interface RopeTableOptions {
  /** Length of the sequence, for dynamic-ntk and longrope. @default 0 */
  readonly numTokens?: number
}

/** The table of `positions`, one row each. Angles are float64; only the results are rounded to float32. */
export function ropeTable(spec: RopeSpec, positions: ArrayLike<number>, options: RopeTableOptions = {}): RopeTable {
  const frequencies = inverseFrequencies(spec, options.numTokens ?? 0)
  const amplitude = attentionFactor(spec)
  const numPairs = frequencies.length
  const cos = new Float32Array(positions.length * numPairs)
  const sin = new Float32Array(positions.length * numPairs)
  for (let row = 0; row < positions.length; row++) {
    for (let pair = 0; pair < numPairs; pair++) {
      const angle = reduceAngle(positions[row] * frequencies[pair])
      cos[row * numPairs + pair] = amplitude * Math.cos(angle)
      sin[row * numPairs + pair] = amplitude * Math.sin(angle)
    }
  }
  return { numRows: positions.length, cos, sin }
}

/** The angle modulo a full turn, in (-2 pi, 2 pi): so that no runtime's sine sees a large argument. */
export function reduceAngle(angle: number): number {
  return angle % (2 * Math.PI)
}
