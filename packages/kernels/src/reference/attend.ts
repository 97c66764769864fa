import type { PlainArena } from './plain-arena.ts'

/** What one query head attends to. */
export interface Attention {
  readonly arena: PlainArena
  readonly layer: number
  readonly kvHead: number
  readonly pages: Int32Array
  readonly scale: number
}

/**
 * out = sum_j softmax(scale q.k_j)_j v_j over the given indices, in float64; returns the natural log of the softmax
 * denominator. No index: out = 0, -Infinity. q and out hold headDim values from `at` on.
 */
export function attend(
  { arena, layer, kvHead, pages, scale }: Attention,
  indices: Iterable<number>,
  q: Float32Array,
  out: Float32Array,
  at: number,
): number {
  const { headDim } = arena
  const scores: number[] = []
  const rows: number[] = []
  let max = -Infinity
  for (const index of indices) {
    const key = arena.row('keys', layer, kvHead, pages, index)
    let dot = 0
    for (let c = 0; c < headDim; c++) dot += (q[at + c] as number) * (key[c] as number)
    rows.push(index)
    scores.push(scale * dot)
    max = Math.max(max, scale * dot)
  }

  const sums = new Float64Array(headDim)
  let denominator = 0
  rows.forEach((index, j) => {
    const weight = Math.exp((scores[j] as number) - max)
    const value = arena.row('values', layer, kvHead, pages, index)
    denominator += weight
    for (let c = 0; c < headDim; c++) sums[c] = (sums[c] as number) + weight * (value[c] as number)
  })
  for (let c = 0; c < headDim; c++) out[at + c] = rows.length === 0 ? 0 : (sums[c] as number) / denominator
  return rows.length === 0 ? -Infinity : max + Math.log(denominator)
}
