import { mean } from './metrics.ts'

/**
 * 95 % percentile interval of the mean of `values` by resampling cases with replacement (Efron 1979). The draws follow
 * from `seed` alone, so a report made twice shows the same figures.
 */
export function meanInterval95(values: readonly number[], { draws = 10_000, seed = 1 } = {}): [number, number] {
  if (values.length < 2) return [values[0] ?? Number.NaN, values[0] ?? Number.NaN]
  let state = seed >>> 0
  const next = () => {
    // Numerical Recipes' linear congruential step: its high bits are good enough to pick cases.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const means = Array.from({ length: draws }, () =>
    mean(values.map(() => values[Math.floor(next() * values.length)] as number)),
  )
  means.sort((a, b) => a - b)
  return [means[Math.floor(draws * 0.025)] as number, means[Math.ceil(draws * 0.975) - 1] as number]
}
