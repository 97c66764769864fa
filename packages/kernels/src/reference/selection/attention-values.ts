/**
 * Values of a KV head's candidates: probability under the softmax over candidates and always-visible tokens, summed
 * over the query heads of its group. candidates [group][candidates], visible [group][visible] scores.
 */
export function attentionValues(
  candidates: readonly ArrayLike<number>[],
  visible: readonly ArrayLike<number>[],
): Float64Array {
  const values = new Float64Array(candidates[0]?.length ?? 0)
  candidates.forEach((scores, head) => {
    const all = [...Array.from(scores), ...Array.from(visible[head] as ArrayLike<number>)]
    const most = all.reduce((a, b) => Math.max(a, b), -Infinity)
    const total = all.reduce((sum, score) => sum + Math.exp(score - most), 0)
    for (let i = 0; i < values.length; i++) values[i]! += Math.exp((scores[i] as number) - most) / total
  })
  return values
}
