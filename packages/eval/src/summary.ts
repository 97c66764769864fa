import { type BootstrapOptions, meanInterval95 } from './bootstrap.ts'
import { groupBy } from './group-by.ts'
import { mean } from './metrics.ts'
import { type PairedDifference, pairedDifference } from './paired.ts'
import { factEstimates, pairGroup } from './pairs/pair-summary.ts'
import type { CaseKey } from './results-file.ts'

/** A mean over cases, geometric of `ttftRatio`, with its 95 % bootstrap interval, null where one case alone was measured. */
export interface Estimate {
  readonly mean: number
  readonly ci95: readonly [number, number] | null
}

/** The cases of one kind or task. */
export interface SummaryCell {
  readonly cell: string
  readonly n: number
  readonly score: number
  readonly scoreFull: number
  /** The full cache reaches 30 % here, so that there is something to lose. */
  readonly counted: boolean
}

/** All cases of one suite, length, policy, budget and mode, of `pairs` also of one kind and variant. Beside these an estimate for every measured field. */
export interface SummaryRow extends Omit<CaseKey, 'id'> {
  /** Of `pairs`: how the two prompts are alike. */
  readonly kind?: string
  readonly variant?: string
  /** Cases. */
  readonly n: number
  readonly estimates: Readonly<Record<string, Estimate>>
  /** Difference to the full cache, by field. */
  readonly pairedToFull: Readonly<Record<string, PairedDifference>>
  /** Fields with a number for each layer: means of each. */
  readonly curves: Readonly<Record<string, readonly number[]>>
  /** Of suites with scores: their kinds or tasks. */
  readonly cells: readonly SummaryCell[]
  /** Of suites with scores: the full cache reaches 30 %. */
  readonly counted: boolean | null
}

type CaseRecord = Readonly<Record<string, unknown>>

const notMeasured = ['suite', 'id', 'length', 'policy', 'budget', 'mode', 'depth']
/** Twice as fast and half as fast cancel: their mean is 1. */
const geometricFields = ['ttftRatio']
const leastFullScore = 0.3

/** Name of the same figure of the full cache: `score` and `scoreFull`, `nllNats` and `nllFullNats`. */
function fullNameOf(name: string): string {
  return name.endsWith('Nats') ? `${name.slice(0, -4)}FullNats` : `${name}Full`
}

/**
 * One row a group, by mode and length, then in the order in which the groups first appear. The figures do not depend on
 * the order of the rows.
 */
export function summarise(rows: readonly CaseKey[], options: BootstrapOptions = {}): SummaryRow[] {
  const groups = groupBy(rows, (row) => {
    const { suite, length, policy, budget, mode } = row
    return JSON.stringify([suite, length, policy, budget, mode, pairGroup({ ...row })])
  })
  const summary = [...groups.values()].map((cases) => rowOf(inOrder(cases), options))
  return summary.sort((a, b) => compare(a.suite, b.suite) || compare(a.mode ?? '', b.mode ?? '') || a.length - b.length)
}

/** Cases by id, which is how runs are paired and resampled alike. */
export function inOrder(cases: readonly CaseKey[]): CaseKey[] {
  return [...cases].sort((a, b) => compare(a.id, b.id))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function rowOf(cases: readonly CaseKey[], options: BootstrapOptions): SummaryRow {
  const { suite, length, policy, budget, mode } = cases[0]
  const records = cases as readonly unknown[] as readonly CaseRecord[]
  const cells = cellsOf(records)
  const scoreFull = columnOf(records, fullNameOf(scoreName(records[0])))
  return {
    suite,
    length,
    policy,
    budget,
    mode,
    ...pairGroup(records[0]),
    n: cases.length,
    estimates: estimatesOf(records, cells, options),
    pairedToFull: pairsOf(records, options),
    curves: curvesOf(records),
    cells,
    counted: scoreFull && mean(scoreFull) >= leastFullScore,
  }
}

/** The row as `summary.json` has it: means under the fields' own names, their intervals by name in `ci95`. */
export function summaryJson({ estimates, curves, ...row }: SummaryRow): Record<string, unknown> {
  const pick = (part: 'mean' | 'ci95') =>
    Object.fromEntries(Object.entries(estimates).map(([name, estimate]) => [name, estimate[part]]))
  return { ...row, ...pick('mean'), ...curves, ci95: pick('ci95') }
}

function scoreName(record: CaseRecord): string {
  return 'correct' in record ? 'correct' : 'score'
}

/** The numbers of one field, booleans as 0 and 1; null where some case has none. */
function columnOf(records: readonly CaseRecord[], name: string): number[] | null {
  const values = records.map((record) => record[name])
  const isFigure = (value: unknown) => typeof value === 'number' || typeof value === 'boolean'
  return values.every(isFigure) ? values.map(Number) : null
}

function estimatesOf(records: readonly CaseRecord[], cells: readonly SummaryCell[], options: BootstrapOptions) {
  const estimates: Record<string, Estimate> = {}
  const estimate = (values: readonly number[]): Estimate => ({
    mean: mean(values),
    ci95: meanInterval95(values, options),
  })
  for (const name of Object.keys(records[0])) {
    const values = notMeasured.includes(name) ? null : columnOf(records, name)
    if (values === null) continue
    estimates[name] = geometricFields.includes(name)
      ? mapEstimate(estimate(values.map(Math.log)), Math.exp)
      : estimate(values)
    if (name === 'nllFullNats') {
      const nll = columnOf(records, 'nllNats') as number[]
      estimates.dPplPercent = mapEstimate(estimate(nll.map((value, i) => value - values[i])), percent)
    }
  }
  const counted = new Set(cells.filter((cell) => cell.counted).map(({ cell }) => cell))
  const score = scoreName(records[0])
  const some = columnOf(
    records.filter((record) => counted.has(cellName(record))),
    score,
  )
  if (cells.length > 0 && some?.length) estimates[`${score}Counted`] = estimate(some)
  return { ...estimates, ...factEstimates(records, estimate) }
}

function pairsOf(records: readonly CaseRecord[], options: BootstrapOptions): Record<string, PairedDifference> {
  const pairs: Record<string, PairedDifference> = {}
  for (const name of Object.keys(records[0])) {
    const [ours, full] = [columnOf(records, name), columnOf(records, fullNameOf(name))]
    if (ours && full) pairs[name] = pairedDifference(ours, full, options)
  }
  return pairs
}

function curvesOf(records: readonly CaseRecord[]): Record<string, readonly number[]> {
  const curves: Record<string, readonly number[]> = {}
  for (const [name, first] of Object.entries(records[0])) {
    if (!Array.isArray(first) || !first.every((value) => typeof value === 'number')) continue
    const all = records.map((record) => record[name] as readonly number[])
    if (all.every((curve) => curve?.length === first.length)) {
      curves[name] = first.map((_, layer) => mean(all.map((curve) => curve[layer])))
    }
  }
  return curves
}

function cellName({ kind, task }: CaseRecord): string {
  return String(kind ?? task)
}

function cellsOf(records: readonly CaseRecord[]): SummaryCell[] {
  const score = scoreName(records[0])
  if (columnOf(records, fullNameOf(score)) === null) return []
  return [...new Set(records.map(cellName))].sort(compare).map((cell) => {
    const cases = records.filter((record) => cellName(record) === cell)
    const scoreFull = mean(columnOf(cases, fullNameOf(score)) as number[])
    const own = mean(columnOf(cases, score) as number[])
    return { cell, n: cases.length, score: own, scoreFull, counted: scoreFull >= leastFullScore }
  })
}

/** 100 (exp(d) - 1): what a difference of mean NLL is in perplexity. */
function percent(excessNats: number): number {
  return 100 * Math.expm1(excessNats)
}

/** `map` grows, so interval ends stay ends. */
function mapEstimate({ mean, ci95 }: Estimate, map: (value: number) => number): Estimate {
  return { mean: map(mean), ci95: ci95 && [map(ci95[0]), map(ci95[1])] }
}
