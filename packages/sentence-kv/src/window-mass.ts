import { bestIndices } from '@kvasir/core'

export interface Heads {
  readonly first: number
  readonly count: number
}

/** Sum over some heads of mass [numHeads][numTokens]: [numTokens]. */
export function sumHeads(mass: Float32Array, { first, count }: Heads, numTokens: number): Float64Array {
  const sum = new Float64Array(numTokens)
  for (let head = first; head < first + count; head++) {
    for (let token = 0, at = head * numTokens; token < numTokens; token++, at++) sum[token] += mass[at]
  }
  return sum
}

/** Each value's maximum with its neighbours, `width` values in all around it (fewer at the ends). */
export function maxPooled(values: Float64Array, width: number): Float64Array {
  const reach = width >> 1
  const pooled = new Float64Array(values.length)
  for (let at = 0; at < values.length; at++) {
    const end = Math.min(values.length, at + reach + 1)
    let most = values[at]
    for (let near = Math.max(0, at - reach); near < end; near++) if (values[near] > most) most = values[near]
    pooled[at] = most
  }
  return pooled
}

/** The `count` candidates (ascending) of the highest mass [numTokens], ascending; of equal ones the earlier. */
export function heaviestRows(candidates: Int32Array, mass: Float64Array, count: number): Int32Array {
  const ofCandidates = new Float64Array(candidates.length)
  for (let at = 0; at < candidates.length; at++) ofCandidates[at] = mass[candidates[at]]
  return bestIndices(candidates, ofCandidates, count)
}
