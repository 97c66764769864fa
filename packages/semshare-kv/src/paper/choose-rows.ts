import { bestIndices, type LayerReport, type RowSet } from '@kvasir/core'
import type { ResolvedPaper } from './options.ts'

export type ChoiceRule = Pick<
  ResolvedPaper,
  'highShare' | 'hotAttention' | 'hotWeight' | 'coldWeight' | 'recomputeDecay' | 'recomputeFloor'
>

/** Rows of the layer after `layer`, counted from 0, out of `numRows` that the first one computed. */
export function countNext(layer: number, numRows: number, rule: ChoiceRule): number {
  const share = rule.highShare * rule.recomputeDecay ** layer
  return Math.max(1, Math.round(numRows * Math.max(share, rule.recomputeFloor)))
}

/**
 * The rows of the next layer: those that deviate most or are hot go first, within them those whose weighted deviation is
 * larger, then the others; the last row always.
 */
export function chooseRows(report: LayerReport, count: number, rule: ChoiceRule): RowSet {
  const { rows } = report.rows
  if (count >= rows.length) return report.rows
  const last = rows.length - 1
  const places = Int32Array.from({ length: rows.length }, (_, at) => at)
  const distances = Float64Array.from(report.distances, (distance) => Math.min(distance, largest))
  const high = new Set(bestIndices(places, distances, Math.round(rule.highShare * rows.length)))
  const hot = hotRows(report.attention, rule.hotAttention)
  const scores = Float64Array.from(rows, (row, at) => {
    const weight = hot.has(row) ? rule.hotWeight : rule.coldWeight
    const first = high.has(at) || hot.has(row) ? 2 : 1
    return at === last ? 3 : first + squashed(weight * distances[at])
  })
  return { rows: bestIndices(places, scores, count).map((at) => rows[at]) }
}

/** The fewest rows that received `share` of the attention together; none where it was not observed. */
export function hotRows(attention: Float32Array | undefined, share: number): ReadonlySet<number> {
  if (attention === undefined) return new Set()
  const order = Array.from(attention.keys()).sort((a, b) => attention[b] - attention[a] || a - b)
  const wanted = share * attention.reduce((sum, received) => sum + received, 0)
  let [sum, count] = [0, 0]
  while (count < order.length && sum < wanted) sum += attention[order[count++]]
  return new Set(order.slice(0, count))
}

const largest = 1e30

/** [0, infinity) onto [0, 1), in the same order. */
function squashed(x: number): number {
  return x / (1 + x)
}
