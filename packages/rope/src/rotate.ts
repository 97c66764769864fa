import { type RopeSpec, ShapeError } from '@kvasir/core'
import type { RopeTable } from './table.ts'

/**
 * Rotates x [numRows][heads][headDim] by the table's rows into a new array; values from rotaryDim on stay as they are.
 * The plain reference of both pairings. Throws a ShapeError if x is not whole rows of heads.
 */
export function rotate(x: Float32Array, headDim: number, spec: RopeSpec, table: RopeTable): Float32Array {
  const numPairs = spec.rotaryDim / 2
  const headsOfRow = checkRows(x, headDim, spec, table.numRows)
  const rotated = x.slice()
  for (let row = 0; row < table.numRows; row++) {
    const cos = table.cos.subarray(row * numPairs, (row + 1) * numPairs)
    const sin = table.sin.subarray(row * numPairs, (row + 1) * numPairs)
    for (let head = 0; head < headsOfRow; head++) {
      rotateHead(rotated, (row * headsOfRow + head) * headDim, spec, cos, sin)
    }
  }
  return rotated
}

/** Rotates the head that starts at `start`, in place. cos, sin [rotaryDim / 2]. */
export function rotateHead(
  x: Float32Array | Float64Array,
  start: number,
  { pairing, rotaryDim }: RopeSpec,
  cos: ArrayLike<number>,
  sin: ArrayLike<number>,
): void {
  const half = rotaryDim / 2
  for (let pair = 0; pair < half; pair++) {
    const first = start + (pairing === 'half' ? pair : 2 * pair)
    const second = pairing === 'half' ? first + half : first + 1
    const a = x[first]
    const b = x[second]
    x[first] = a * cos[pair] - b * sin[pair]
    x[second] = a * sin[pair] + b * cos[pair]
  }
}

/** Heads of a row of x. Throws a ShapeError unless x is numRows rows of whole heads that the spec fits. */
export function checkRows(x: ArrayLike<number>, headDim: number, spec: RopeSpec, numRows: number): number {
  if (!(spec.rotaryDim <= headDim)) {
    throw new ShapeError({ parameter: 'headDim', expected: `at least rotaryDim = ${spec.rotaryDim}`, got: headDim })
  }
  const heads = numRows === 0 ? 0 : x.length / (numRows * headDim)
  if (Number.isInteger(numRows) && Number.isInteger(heads) && (numRows > 0 || x.length === 0)) return heads
  const expected = `whole rows of heads of headDim = ${headDim} values`
  throw new ShapeError({ parameter: 'x', expected, got: x.length })
}
