import type { KvShape } from '@kvasir/core'

/** Time of a prefill, in times of one row's matrix products over all layers. */
export interface CostModel {
  readonly numLayers: number
  /** Rows before a row whose attention takes as long as the row's matrix products. */
  readonly attentionRows: number
}

/** Of a donor's row: it is read, or copied, whole. */
const loadedRowCost = 0.003
/** Of reading the prompt, searching and starting, whatever its length. */
const fixedCost = 12

/** From the shapes of a usual transformer: a layer's products take about 22 hiddenDim^2 operations, a score and its value 4 hiddenDim. */
export function costModel({ layers }: KvShape): CostModel {
  const hiddenDim = Math.max(...layers.map(({ numHeads, headDim }) => numHeads * headDim))
  return { numLayers: layers.length, attentionRows: 5.5 * hiddenDim }
}

/** Cost of rows [start, end) at all layers. */
export function spanCost({ attentionRows }: CostModel, start: number, end: number): number {
  return end - start + (end * (end - 1) - start * (start - 1)) / 2 / attentionRows
}

/** Cost of single rows at numLayers of the layers. */
export function rowsCost(model: CostModel, rows: Int32Array, numLayers = model.numLayers): number {
  const cost = rows.reduce((sum, row) => sum + 1 + row / model.attentionRows, 0)
  return (cost * numLayers) / model.numLayers
}

export function lendingCost(donorTokens: number): number {
  return fixedCost + donorTokens * loadedRowCost
}
