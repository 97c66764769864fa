/** Log of the softmax denominator of logits, by the maximum first so that nothing overflows. */
export function logSumExp(logits: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY
  for (const logit of logits) if (logit > max) max = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - max)
  return max + Math.log(sum)
}

/** -ln softmax(logits)[token], nats. */
export function negativeLogLikelihood(logits: Float32Array, token: number): number {
  return logSumExp(logits) - (logits[token] as number)
}

/** KL(softmax(reference) || softmax(other)), nats. Exactly 0 for equal logits. */
export function klDivergence(reference: Float32Array, other: Float32Array): number {
  const referenceNorm = logSumExp(reference)
  const shift = logSumExp(other) - referenceNorm
  let sum = 0
  for (let i = 0; i < reference.length; i++) {
    const logit = reference[i] as number
    sum += Math.exp(logit - referenceNorm) * (logit - (other[i] as number) + shift)
  }
  return sum
}

/** Index of the largest value; of equal ones the lowest. */
export function argMax(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i
  return best
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Middle value; of an even number the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
