import { pageTokens } from '@kvasir/core'
import { KernelError } from '../errors.ts'
import type { PlainArena } from './plain-arena.ts'

/** softmax_j(scale q.k_j) over the rows `indices`, in float64, for each query [group][headDim]; [group][indices.length]. */
export function attentionWeights(
  arena: PlainArena,
  pages: Int32Array,
  layer: number,
  kvHead: number,
  queries: Float32Array,
  indices: Int32Array,
  scale: number,
): Float32Array {
  const { headDim } = arena
  indices.forEach((index, i) => {
    const page = index >= 0 ? pages[Math.floor(index / pageTokens)] : undefined
    if (page !== undefined && page >= 0 && page < arena.capacityPages) return
    throw new KernelError({ parameter: `indices[${i}]`, expected: "a row of the sequence's pages", got: index })
  })
  const keys = Array.from(indices, (index) => arena.row('keys', layer, kvHead, pages, index))
  const weights = new Float32Array((queries.length / headDim) * indices.length)
  for (let at = 0, row = 0; at < queries.length; at += headDim, row += indices.length) {
    const query = queries.subarray(at, at + headDim)
    const scores = keys.map((key) => scale * query.reduce((sum, x, c) => sum + x * (key[c] as number), 0))
    const max = scores.reduce((high, score) => Math.max(high, score), -Infinity)
    const numerators = scores.map((score) => Math.exp(score - max))
    const denominator = numerators.reduce((sum, numerator) => sum + numerator, 0)
    weights.set(
      numerators.map((numerator) => numerator / denominator),
      row,
    )
  }
  return weights
}
