import { type BootstrapOptions, meanInterval95 } from './bootstrap.ts'
import { mean } from './metrics.ts'
import type { CaseKey } from './results-file.ts'

/** A mean over cases with its 95 % bootstrap interval, null where one case alone was measured. */
export interface Estimate {
  readonly mean: number
  readonly ci95: readonly [number, number] | null
}

/** All cases of one suite, length, policy, budget and mode. Beside these an estimate for every measured field. */
export interface SummaryRow extends Omit<CaseKey, 'id'> {
  /** Cases. */
  readonly n: number
  readonly estimates: Readonly<Record<string, Estimate>>
}

const keyFields = ['suite', 'id', 'length', 'policy', 'budget', 'mode']

/** One row a group, in the order in which the groups first appear. */
export function summarise(rows: readonly CaseKey[], options: BootstrapOptions = {}): SummaryRow[] {
  const groups = new Map<string, CaseKey[]>()
  for (const row of rows) {
    const { suite, length, policy, budget, mode } = row
    const key = JSON.stringify([suite, length, policy, budget, mode])
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  return [...groups.values()].map((cases) => {
    const { suite, length, policy, budget, mode } = cases[0]
    return { suite, length, policy, budget, mode, n: cases.length, estimates: estimatesOf(cases, options) }
  })
}

/** The row as `summary.json` has it: means under the fields' own names, their intervals by name in `ci95`. */
export function summaryJson({ estimates, ...row }: SummaryRow): Record<string, unknown> {
  const pick = (part: 'mean' | 'ci95') =>
    Object.fromEntries(Object.entries(estimates).map(([name, estimate]) => [name, estimate[part]]))
  return { ...row, ...pick('mean'), ci95: pick('ci95') }
}

function estimatesOf(cases: readonly CaseKey[], options: BootstrapOptions): Record<string, Estimate> {
  const estimates: Record<string, Estimate> = {}
  const records = cases as readonly unknown[] as readonly Readonly<Record<string, unknown>>[]
  for (const name of Object.keys(records[0])) {
    const values = records.map((record) => record[name])
    if (keyFields.includes(name) || !values.every((value) => typeof value === 'number')) continue
    estimates[name] = { mean: mean(values), ci95: meanInterval95(values, options) }
    if (name === 'nllFullNats') {
      const excess = records.map((record) => (record.nllNats as number) - (record.nllFullNats as number))
      estimates.dPplPercent = mapEstimate({ mean: mean(excess), ci95: meanInterval95(excess, options) }, percent)
    }
  }
  return estimates
}

/** 100 (exp(d) - 1): what a difference of mean NLL is in perplexity. Grows with d, so interval ends stay ends. */
function percent(excessNats: number): number {
  return 100 * Math.expm1(excessNats)
}

function mapEstimate({ mean, ci95 }: Estimate, map: (value: number) => number): Estimate {
  return { mean: map(mean), ci95: ci95 && [map(ci95[0]), map(ci95[1])] }
}
