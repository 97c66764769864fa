import { checkInteger, checkKeys, type RopeSpec } from '@kvasir/core'
import { inverseFrequencies } from './frequencies.ts'
import { reduceAngle } from './table.ts'

/** A move of a cached key: it was rotated at position `from` and is to serve at position `to`. */
export interface Turn {
  readonly from: number
  readonly to: number
}

/** Cosines and sines that take cached keys to other positions, of unit length: the attention factor is in the keys. */
export interface TurnTable {
  /** [turns.length][rotaryDim / 2] */
  readonly cos: Float32Array
  /** [turns.length][rotaryDim / 2] */
  readonly sin: Float32Array
}

export interface TurnOptions {
  /** Length of the sequence that the keys were rotated for, for dynamic-ntk and longrope. @default 0 */
  readonly fromNumTokens?: number
  /** Length of the sequence that they go to. @default fromNumTokens */
  readonly toNumTokens?: number
}

/**
 * The table of `turns`, one row each: R(to) R(from)^-1 without the attention factor, which keys carry already. Angles are
 * float64; only the results are rounded to float32. Throws an OptionError or ShapeError for what does not fit.
 */
export function turnTable(spec: RopeSpec, turns: readonly Turn[], options: TurnOptions = {}): TurnTable {
  checkKeys('turnTable', options, ['fromNumTokens', 'toNumTokens'])
  const fill = turnFiller(spec, options)
  const numPairs = spec.rotaryDim / 2
  const cos = new Float32Array(turns.length * numPairs)
  const sin = new Float32Array(turns.length * numPairs)
  turns.forEach(({ from, to }, row) => {
    checkInteger(`turns[${row}].from`, from, 0)
    checkInteger(`turns[${row}].to`, to, 0)
    const start = row * numPairs
    fill(cos.subarray(start, start + numPairs), sin.subarray(start, start + numPairs), from, to)
  })
  return { cos, sin }
}

/** Writes the turn from one position to another into cos, sin [rotaryDim / 2], rounded as those are. */
export type FillTurn = (
  cos: Float32Array | Float64Array,
  sin: Float32Array | Float64Array,
  from: number,
  to: number,
) => void

/** What fills turns of one spec between two lengths of sequence; the frequencies are computed once. */
export function turnFiller(spec: RopeSpec, options: TurnOptions): FillTurn & { readonly byDelta: boolean } {
  const fromNumTokens = checkInteger('fromNumTokens', options.fromNumTokens ?? 0, 0)
  const toNumTokens = checkInteger('toNumTokens', options.toNumTokens ?? fromNumTokens, 0)
  const before = inverseFrequencies(spec, fromNumTokens)
  const after = toNumTokens === fromNumTokens ? before : inverseFrequencies(spec, toNumTokens)
  const byDelta = before.every((frequency, pair) => frequency === after[pair])
  const fill: FillTurn = (cos, sin, from, to) => {
    for (let pair = 0; pair < before.length; pair++) {
      const angle = reduceAngle(byDelta ? (to - from) * after[pair] : to * after[pair] - from * before[pair])
      cos[pair] = Math.cos(angle)
      sin[pair] = Math.sin(angle)
    }
  }
  return Object.assign(fill, { byDelta })
}
