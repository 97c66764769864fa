import { droppedSpans, type LayerShape, type PrefillView, type RunList, rowsOutside, runsOfIndices } from '@kvasir/core'
import { unobserved } from '../unobserved.ts'
import { heaviestRows, maxPooled, sumHeads } from '../window-mass.ts'

/** Rows of a prompt whose attention says what stays, and width of the max-pooling that keeps neighbours together. */
export const windowTokens = 32
const poolWidth = 7

export interface KeepRule {
  /** Rows that stay a KV head. */
  readonly keptTokens: number
  /** First and last rows that stay whatever their mass. */
  readonly sinkTokens: number
  readonly recentTokens: number
}

/** [layer][kvHead]: ascending rows that stand; null: all. */
export type StandingRows = readonly (readonly Int32Array[])[] | null

/**
 * Rows that stay at the end of a prompt: for each KV head sinks, recent rows and those that the prompt's last rows
 * attend to most, summed over the group's query heads and max-pooled.
 */
export async function keptRows(
  { attention, kv, signal }: PrefillView,
  shape: readonly LayerShape[],
  standing: StandingRows,
  rule: KeepRule,
): Promise<Int32Array[][]> {
  if (attention === undefined) throw unobserved()
  const kept: Int32Array[][] = []
  for (const [layer, { numHeads, numKvHeads }] of shape.entries()) {
    const mass = await attention.windowMass(layer, windowTokens)
    signal?.throwIfAborted()
    const group = numHeads / numKvHeads
    kept.push(
      Array.from({ length: numKvHeads }, (_, kvHead) => {
        const pooled = maxPooled(sumHeads(mass, { first: kvHead * group, count: group }, kv.numTokens), poolWidth)
        pooled.fill(Number.POSITIVE_INFINITY, 0, rule.sinkTokens)
        pooled.fill(Number.POSITIVE_INFINITY, Math.max(0, kv.numTokens - rule.recentTokens))
        const all = standing?.[layer][kvHead] ?? Int32Array.from({ length: kv.numTokens }, (_, row) => row)
        return heaviestRows(rowsOutside(all, droppedSpans(kv, layer, kvHead)), pooled, rule.keptTokens)
      }),
    )
  }
  return kept
}

export function keepLists(rows: NonNullable<StandingRows>): RunList[] {
  return rows.map((heads) => runsOfIndices(heads))
}
