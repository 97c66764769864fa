/** One next-token distribution, with what every comparison against it needs taken once. */
export interface Distribution {
  readonly logits: Float32Array
  readonly logNorm: number
  readonly probabilities: Float64Array
  /** Index of the largest logit; of equal ones the lowest. */
  readonly best: number
}

export function distributionOf(logits: Float32Array): Distribution {
  const best = argMax(logits)
  const max = logits[best]
  const probabilities = new Float64Array(logits.length)
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += probabilities[i] = Math.exp(logits[i] - max)
  for (let i = 0; i < logits.length; i++) probabilities[i] /= sum
  return { logits, logNorm: max + Math.log(sum), probabilities, best }
}

/** How far one row of logits is from the reference's, and what it gives to the token that came. */
export interface Comparison {
  readonly nllNats: number
  /** KL(reference || other). Exactly 0 for equal logits. */
  readonly klNats: number
  /** Index of the other's largest logit. */
  readonly best: number
  readonly sameBest: boolean
}

/** Compares softmax(other) with the reference; `target` is the token that came next. */
export function compareLogits(reference: Distribution, other: Float32Array, target: number): Comparison {
  const { logits, probabilities } = reference
  const best = argMax(other)
  const max = other[best]
  // Plain loops: this runs over the vocabulary for every policy, budget and token.
  let sum = 0
  let gap = 0
  for (let i = 0; i < other.length; i++) {
    sum += Math.exp(other[i] - max)
    gap += probabilities[i] * (logits[i] - other[i])
  }
  const logNorm = max + Math.log(sum)
  const klNats = gap + (logNorm - reference.logNorm)
  return { nllNats: logNorm - other[target], klNats, best, sameBest: best === reference.best }
}

/** Index of the largest value; of equal ones the lowest. */
export function argMax(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}

/** NaN for no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The value below which a share `at` in [0, 1] of the values lies, interpolated (Hyndman and Fan 1996, type 7). */
export function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * at
  const below = Math.floor(place)
  const above = Math.ceil(place)
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}

/** Middle value; of an even number the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}
