import { mean } from './metrics.ts'
import { congruential } from './random-numbers.ts'

export interface BootstrapOptions {
  /** Resamples. @default 10,000 */
  readonly draws?: number
  /** @default 1 */
  readonly seed?: number
}

/**
 * 95 % percentile interval of the mean of `values`, by resampling cases with replacement (Efron 1979). The draws follow
 * from `seed` alone, so a report made twice shows the same figures, and columns of one table are resampled alike. One
 * value has no spread to show: null.
 */
export function meanInterval95(
  values: readonly number[],
  { draws = 10_000, seed = 1 }: BootstrapOptions = {},
): readonly [number, number] | null {
  if (values.length < 2) return null
  const next = congruential(seed)
  const means = Float64Array.from({ length: draws }, () => {
    let sum = 0
    for (let i = 0; i < values.length; i++) sum += values[Math.floor(next() * values.length)]
    return sum / values.length
  }).sort()
  // Rounding in the sums may leave means of equal values a bit apart: never an interval without the mean.
  const centre = mean(values)
  const low = means[Math.floor(draws * 0.025)]
  const high = means[Math.ceil(draws * 0.975) - 1]
  return [Math.min(low, centre), Math.max(high, centre)]
}
