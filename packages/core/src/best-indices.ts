/**
 * The `count` candidates with the highest scores, ascending by index; of equal scores the lower indices.
 * candidates [n] ascend; scores [n] belong to them. O(n) on average.
 */
export function bestIndices(candidates: Int32Array, scores: Float64Array, count: number): Int32Array {
  if (count >= candidates.length) return candidates
  if (count <= 0) return new Int32Array(0)
  const least = nthLargest(Float64Array.from(scores), count)
  let ties = count
  for (const score of scores) if (score > least) ties--
  const best = new Int32Array(count)
  let filled = 0
  for (let at = 0; at < candidates.length; at++) {
    if (scores[at] < least || (scores[at] === least && ties-- <= 0)) continue
    best[filled++] = candidates[at]
  }
  return best
}

/** The n-th largest value, n >= 1. Reorders `values` (quickselect, Hoare 1961). */
function nthLargest(values: Float64Array, n: number): number {
  let low = 0
  let high = values.length - 1
  while (low < high) {
    const pivot = values[(low + high) >> 1]
    let left = low
    let right = high
    while (left <= right) {
      while (values[left] > pivot) left++
      while (values[right] < pivot) right--
      if (left > right) break
      const value = values[left]
      values[left++] = values[right]
      values[right--] = value
    }
    if (n - 1 <= right) high = right
    else if (n - 1 >= left) low = left
    else return values[n - 1]
  }
  return values[n - 1]
}
