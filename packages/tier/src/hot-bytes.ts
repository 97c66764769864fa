import { checkInteger, checkKeys, checkOneOf } from '@kvasir/core'
import { slotBytes } from '@kvasir/kernels'

export interface HotRowsShape {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  /** @default 'row' */
  readonly unit?: 'row' | 'block'
}

/**
 * The `hotBytes` that hold so many rows, or blocks of 16 rows, a KV head in every layer, tables included. A budget of B
 * tokens a head needs at least B rows; twice as many keep what the next steps ask for again.
 */
export function hotBytesFor(shape: HotRowsShape, unitsPerHead: number): number {
  checkKeys('hotBytesFor', shape, ['numLayers', 'numKvHeads', 'headDim', 'unit'])
  const numLayers = checkInteger('numLayers', shape.numLayers, 1, 4096)
  const numKvHeads = checkInteger('numKvHeads', shape.numKvHeads, 1, 4096)
  const headDim = checkInteger('headDim', shape.headDim, 1, 4096)
  const unit = checkOneOf('unit', shape.unit ?? 'row', ['row', 'block'])
  const slots = checkInteger('unitsPerHead', unitsPerHead, 1, 2 ** 30) * numKvHeads
  return numLayers * slotBytes({ headDim, unit }, slots)
}
