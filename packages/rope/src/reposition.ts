import { checkInteger, checkKeys, type RopeSpec, ShapeError } from '@kvasir/core'
import { inverseFrequencies } from './frequencies.ts'
import { checkRows, rotateHead } from './rotate.ts'
import { reduceAngle } from './table.ts'

export interface RepositionOptions {
  /** Required. */
  readonly headDim: number
  /** Position of each row at which the keys were rotated first; a number: of the first of consecutive rows. Required. */
  readonly from: number | ArrayLike<number>
  /** Position that each row gets, likewise. Required. */
  readonly to: number | ArrayLike<number>
  /** Length of the sequence that the keys come from, for dynamic-ntk and longrope. @default 0 */
  readonly fromNumTokens?: number
  /** Length of the sequence that they go to. @default fromNumTokens */
  readonly toNumTokens?: number
}

/**
 * Cached keys [numRows][heads][headDim] as if they had been computed at other positions, in a new array: each row turns by
 * the difference of its angles, a rotation of unit length, so that the attention factor is not applied twice. A row that
 * stays where it is keeps its bits. Always start from the keys as they were computed: every pass rounds once, and the
 * errors of a chain add up. Throws a ShapeError or OptionError for what does not fit.
 */
export function reposition(keys: Float32Array, spec: RopeSpec, options: RepositionOptions): Float32Array {
  checkKeys('reposition', options, ['headDim', 'from', 'to', 'fromNumTokens', 'toNumTokens'])
  const headDim = checkInteger('headDim', options.headDim, 1)
  const { from, to, fromNumTokens = 0, toNumTokens = fromNumTokens } = options
  const numRows = countRows(keys, options)
  const heads = checkRows(keys, headDim, spec, numRows)
  const before = inverseFrequencies(spec, fromNumTokens)
  const after = toNumTokens === fromNumTokens ? before : inverseFrequencies(spec, toNumTokens)
  const cos = new Float64Array(before.length)
  const sin = new Float64Array(before.length)
  const moved = keys.slice()
  let turn: readonly [number, number] | null = null
  for (let row = 0; row < numRows; row++) {
    const next = [positionOf('from', from, row), positionOf('to', to, row)] as const
    if (before === after && next[0] === next[1]) continue
    // A run that moves as a whole has one delta, and needs its angles once.
    if (before !== after || turn === null || next[1] - next[0] !== turn[1] - turn[0]) {
      fillTurn(cos, sin, before, after, next)
      turn = next
    }
    for (let head = 0; head < heads; head++) rotateHead(moved, (row * heads + head) * headDim, spec, cos, sin)
  }
  return moved
}

function fillTurn(
  cos: Float64Array,
  sin: Float64Array,
  before: Float64Array,
  after: Float64Array,
  [from, to]: readonly [number, number],
): void {
  for (let pair = 0; pair < before.length; pair++) {
    const angle = before === after ? (to - from) * after[pair] : to * after[pair] - from * before[pair]
    cos[pair] = Math.cos(reduceAngle(angle))
    sin[pair] = Math.sin(reduceAngle(angle))
  }
}

/** Rows as the position lists say. Two plain numbers do not: then a row is one head. */
function countRows(keys: Float32Array, { from, to, headDim }: RepositionOptions): number {
  if (typeof from !== 'number' && typeof to !== 'number' && from.length !== to.length) {
    throw new ShapeError({ parameter: 'to', expected: `${from.length} positions, as many as from`, got: to.length })
  }
  if (typeof from !== 'number') return from.length
  return typeof to === 'number' ? keys.length / headDim : to.length
}

function positionOf(parameter: string, positions: number | ArrayLike<number>, row: number): number {
  return checkInteger(parameter, typeof positions === 'number' ? positions + row : positions[row], 0)
}
