import { bestIndices } from '@kvasir/core'

/** Sum over heads of mass [numHeads][numTokens]: [numTokens]. */
export function sumHeads(
  mass: Float32Array,
  heads: { readonly first: number; readonly count: number },
  numTokens: number,
): Float64Array {
  const sum = new Float64Array(numTokens)
  for (let head = heads.first; head < heads.first + heads.count; head++) {
    for (let token = 0; token < numTokens; token++) sum[token] += mass[head * numTokens + token]
  }
  return sum
}

/** Each value's maximum with its neighbours, `width` values in all around it (fewer at the ends). */
export function maxPooled(values: Float64Array, width: number): Float64Array {
  const reach = width >> 1
  return values.map((_, at) => {
    let most = Number.NEGATIVE_INFINITY
    for (let near = Math.max(0, at - reach); near <= Math.min(values.length - 1, at + reach); near++) {
      most = Math.max(most, values[near])
    }
    return most
  })
}

/** The `count` candidates (ascending) of the highest mass [numTokens], ascending; of equal ones the earlier. */
export function heaviestRows(candidates: Int32Array, mass: Float64Array, count: number): Int32Array {
  return bestIndices(
    candidates,
    Float64Array.from(candidates, (row) => mass[row]),
    count,
  )
}
