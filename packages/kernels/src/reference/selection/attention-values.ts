/** Values of a KV head's candidates, and what makes probabilities of other scores under the same softmax. */
export interface Valued {
  /** [candidates] probabilities summed over the query heads of the group */
  readonly values: Float64Array
  /** [group] logarithm of each query head's softmax denominator */
  readonly logSums: readonly number[]
}

/** Under the softmax over candidates [group][candidates] and always-visible tokens [group][visible] scores. */
export function attentionValues(
  candidates: readonly ArrayLike<number>[],
  visible: readonly ArrayLike<number>[],
): Valued {
  const logSums = candidates.map((scores, head) => {
    const all = [...Array.from(scores), ...Array.from(visible[head] as ArrayLike<number>)]
    const most = all.reduce((a, b) => Math.max(a, b), -Infinity)
    return most + Math.log(all.reduce((sum, score) => sum + Math.exp(score - most), 0))
  })
  return { values: valuesUnder(candidates, logSums), logSums }
}

/** Sums over heads of exp(score - logSum), for scores [group][tokens]. */
export function valuesUnder(scores: readonly ArrayLike<number>[], logSums: readonly number[]): Float64Array {
  const values = new Float64Array(scores[0]?.length ?? 0)
  scores.forEach((row, head) => {
    for (let i = 0; i < values.length; i++) values[i]! += Math.exp((row[i] as number) - logSums[head]!)
  })
  return values
}
