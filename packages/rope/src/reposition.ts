import { checkInteger, checkKeys, checkOneOf, OptionError, type RopeSpec, ShapeError } from '@kvasir/core'
import { type HalfType, halfCodec } from './half-floats.ts'
import { checkRows, rotateHead } from './rotate.ts'
import { turnFiller } from './turns.ts'

export interface RepositionOptions {
  /** Required. */
  readonly headDim: number
  /** Position of each row at which the keys were rotated first; a number: of the first of consecutive rows. Required. */
  readonly from: number | ArrayLike<number>
  /** Position that each row gets, likewise. Required. */
  readonly to: number | ArrayLike<number>
  /** What a Uint16Array holds. Required for one; none else has it. */
  readonly type?: HalfType
  /** Length of the sequence that the keys were rotated for, for dynamic-ntk and longrope. @default 0 */
  readonly fromNumTokens?: number
  /** Length of the sequence that they go to. @default fromNumTokens */
  readonly toNumTokens?: number
}

const known = ['headDim', 'from', 'to', 'type', 'fromNumTokens', 'toNumTokens']

/**
 * Cached keys [numRows][heads][headDim] as if they had been computed at other positions, in a new array: each row turns by
 * the difference of its angles, a rotation of unit length, so that the attention factor is not applied twice. A row that
 * stays where it is keeps its bits. Always start from the keys as they were computed: every pass rounds once, and the
 * errors of a chain add up. Throws a ShapeError or OptionError for what does not fit.
 */
export function reposition<Keys extends Float32Array | Uint16Array>(
  keys: Keys,
  spec: RopeSpec,
  options: RepositionOptions,
): Keys {
  checkKeys('reposition', options, known)
  const headDim = checkInteger('headDim', options.headDim, 1)
  const { from, to, fromNumTokens = 0, toNumTokens = fromNumTokens } = options
  const numRows = countRows(keys, options)
  const heads = checkRows(keys, headDim, spec, numRows)
  const fill = turnFiller(spec, { fromNumTokens, toNumTokens })
  const cos = new Float64Array(spec.rotaryDim / 2)
  const sin = new Float64Array(spec.rotaryDim / 2)
  const moved = keys.slice() as Keys
  const turn = headTurner(moved, spec, options.type)
  let delta = 0
  for (let row = 0; row < numRows; row++) {
    const [start, end] = [positionOf('from', from, row), positionOf('to', to, row)]
    if (fill.byDelta && start === end) continue
    // A run that moves as a whole has one delta, and needs its angles once.
    if (!fill.byDelta || end - start !== delta) fill(cos, sin, start, end)
    delta = end - start
    for (let head = 0; head < heads; head++) turn((row * heads + head) * headDim, cos, sin)
  }
  return moved
}

/** What turns the head that starts at a place of `keys`. */
function headTurner(
  keys: Float32Array | Uint16Array,
  spec: RopeSpec,
  type: HalfType | undefined,
): (start: number, cos: Float64Array, sin: Float64Array) => void {
  if (keys instanceof Float32Array) {
    if (type !== undefined) throw new OptionError({ parameter: 'type', expected: 'none for a Float32Array', got: type })
    return (start, cos, sin) => rotateHead(keys, start, spec, cos, sin)
  }
  if (!(keys instanceof Uint16Array)) {
    throw new OptionError({ parameter: 'keys', expected: 'a Float32Array or Uint16Array', got: keys })
  }
  const { decode, encode } = halfCodec(checkOneOf('type', type, ['f16', 'bf16']))
  const head = new Float64Array(spec.rotaryDim)
  return (start, cos, sin) => {
    for (let i = 0; i < head.length; i++) head[i] = decode(keys[start + i] as number)
    rotateHead(head, 0, spec, cos, sin)
    for (let i = 0; i < head.length; i++) keys[start + i] = encode(head[i] as number)
  }
}

/** Rows as the position lists say. Two plain numbers do not: then a row is one head. */
function countRows(keys: ArrayLike<number>, { from, to, headDim }: RepositionOptions): number {
  if (typeof from !== 'number' && typeof to !== 'number' && from.length !== to.length) {
    throw new ShapeError({ parameter: 'to', expected: `${from.length} positions, as many as from`, got: to.length })
  }
  if (typeof from !== 'number') return from.length
  return typeof to === 'number' ? keys.length / headDim : to.length
}

function positionOf(parameter: string, positions: number | ArrayLike<number>, row: number): number {
  return checkInteger(parameter, typeof positions === 'number' ? positions + row : positions[row], 0)
}
