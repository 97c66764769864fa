import { checkInteger, checkKeys, type RopeSpec, ShapeError } from '@kvasir/core'
import { checkRows, rotateHead } from './rotate.ts'
import { turnFiller } from './turns.ts'

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
  const fill = turnFiller(spec, { fromNumTokens, toNumTokens })
  const cos = new Float64Array(spec.rotaryDim / 2)
  const sin = new Float64Array(spec.rotaryDim / 2)
  const moved = keys.slice()
  let delta = 0
  for (let row = 0; row < numRows; row++) {
    const [start, end] = [positionOf('from', from, row), positionOf('to', to, row)]
    if (fill.byDelta && start === end) continue
    // A run that moves as a whole has one delta, and needs its angles once.
    if (!fill.byDelta || end - start !== delta) fill(cos, sin, start, end)
    delta = end - start
    for (let head = 0; head < heads; head++) rotateHead(moved, (row * heads + head) * headDim, spec, cos, sin)
  }
  return moved
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
