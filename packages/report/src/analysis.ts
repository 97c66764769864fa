import { type Estimate, meanInterval95 } from '@kvasir/eval'
import { isFull } from './policies.ts'
import type { CaseRow } from './results.ts'

/** Below this share of right answers the full cache itself is at a loss: nothing can be said about a policy there. */
export const countedShare = 0.3

/** Items by key, in the order in which the keys first appear. */
export function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}

/** Mean with its bootstrap interval; undefined without values. */
export function estimateOf(values: readonly number[]): Estimate | undefined {
  if (values.length === 0) return undefined
  return { mean: meanOf(values)!, ci95: meanInterval95(values) }
}

/** The same in another unit. */
export function scaleEstimate({ mean, ci95 }: Estimate, factor: number): Estimate {
  return { mean: factor * mean, ci95: ci95 && [factor * ci95[0], factor * ci95[1]] }
}

/** The values of one field, of the rows that have it. */
export function valuesOf(cases: readonly CaseRow[], field: string): number[] {
  return cases.map(({ numbers }) => numbers[field]).filter((value) => value !== undefined)
}

/** Finds the full cache's row of the same case: of the same mode, else one without a mode. */
export function fullCacheRows(cases: readonly CaseRow[]): (row: CaseRow) => CaseRow | undefined {
  const key = ({ suite, length, id }: CaseRow, mode: string | null) => JSON.stringify([suite, length, id, mode])
  const full = new Map(cases.filter(({ policy }) => isFull(policy)).map((row) => [key(row, row.mode), row]))
  return (row) => full.get(key(row, row.mode)) ?? full.get(key(row, null))
}

/** A row's value and the full cache's on the same case. */
export interface Pair {
  readonly own: number
  readonly full: number
}

/** Pairs rows with the full cache on one field: as the row itself says, else the full cache's row of the same case. */
export function pairWithFull(cases: readonly CaseRow[], field: string): (row: CaseRow) => Pair | undefined {
  const fullOf = fullCacheRows(cases)
  const fullField = field.endsWith('Nats') ? `${field.slice(0, -4)}FullNats` : `${field}Full`
  return (row) => {
    const own = row.numbers[field]
    const full = row.numbers[fullField] ?? fullOf(row)?.numbers[field]
    return own === undefined || full === undefined ? undefined : { own, full }
  }
}

/** Where a case stands in a map: its task, else its depth, else its kind. */
export function rowName({ numbers, texts }: Pick<CaseRow, 'numbers' | 'texts'>): string {
  if (texts.task !== undefined) return texts.task
  return numbers.depth === undefined ? (texts.kind ?? 'all') : `${Math.round(100 * numbers.depth)} %`
}

/**
 * Cells (a length, mode, and kind or task) in which the full cache has fewer than `countedShare` of the answers, as a
 * test on rows. A cell about which nothing is known of the full cache counts.
 */
export function countedCells(cases: readonly CaseRow[], field: string): (row: CaseRow) => boolean {
  const pairOf = pairWithFull(cases, field)
  const cellKey = ({ length, mode, texts }: CaseRow) => JSON.stringify([length, mode, texts.kind ?? texts.task])
  const lost = new Set<string>()
  for (const [key, rows] of groupBy(cases, cellKey)) {
    // Once a case, however many policies there are.
    const full = new Map(rows.map((row) => [row.id, pairOf(row)?.full]))
    const share = meanOf([...full.values()].filter((value) => value !== undefined))
    if (share !== undefined && share < countedShare) lost.add(key)
  }
  return (row) => !lost.has(cellKey(row))
}

/** Mean of a curve over the rows that have it as long as the first: [numLayers]; undefined where none has. */
export function meanCurve(cases: readonly CaseRow[], name: string): readonly number[] | undefined {
  const curves = cases.map((row) => row.curves[name]).filter((curve) => curve !== undefined)
  const same = curves.filter((curve) => curve.length === curves[0].length)
  return same[0]?.map((_, layer) => meanOf(same.map((curve) => curve[layer]))!)
}

/** Undefined without values. */
export function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Depths ascending, then names. */
export function byDepthThenName(a: string, b: string): number {
  const [x, y] = [a, b].map((name) => (name.endsWith(' %') ? Number.parseFloat(name) : Infinity))
  return x === y ? a.localeCompare(b) : x - y
}
