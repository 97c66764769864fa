import { type BootstrapOptions, meanInterval95 } from './bootstrap.ts'
import { mean } from './metrics.ts'
import { congruential } from './random-numbers.ts'

/** Mean difference of two runs over the same cases. */
export interface PairedDifference {
  /** Cases that both ran. */
  readonly n: number
  /** Mean of ours - theirs. */
  readonly difference: number
  /** Bootstrap interval over the cases; null for one case. */
  readonly ci95: readonly [number, number] | null
}

/** `ours[i]` and `theirs[i]` belong to one case. */
export function pairedDifference(
  ours: readonly number[],
  theirs: readonly number[],
  options: BootstrapOptions = {},
): PairedDifference {
  const differences = ours.map((value, i) => value - theirs[i])
  return { n: differences.length, difference: mean(differences), ci95: meanInterval95(differences, options) }
}

/**
 * Two-sided p that the differences are centred on 0: the share of random sign changes whose mean is at least as far from
 * 0 (Fisher 1935), the one that was seen counted with them. 1 where nothing differs.
 */
export function signFlipP(differences: readonly number[], { draws = 10_000, seed = 1 }: BootstrapOptions = {}): number {
  const next = congruential(seed)
  const seen = Math.abs(differences.reduce((sum, value) => sum + value, 0))
  // Sums of the same numbers in other signs may differ by rounding alone.
  const least = seen * (1 - 1e-12)
  let far = 1
  for (let draw = 0; draw < draws; draw++) {
    let sum = 0
    for (let i = 0; i < differences.length; i++) sum += next() < 0.5 ? differences[i] : -differences[i]
    if (Math.abs(sum) >= least) far++
  }
  return far / (draws + 1)
}

/** The p values of one family of tests, adjusted so that the chance of any false alarm in it stays (Holm 1979). */
export function holmAdjusted(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((a, b) => ps[a] - ps[b])
  const adjusted = new Array<number>(ps.length)
  let most = 0
  for (const [rank, i] of order.entries()) {
    most = Math.max(most, Math.min(1, (ps.length - rank) * ps[i]))
    adjusted[i] = most
  }
  return adjusted
}
