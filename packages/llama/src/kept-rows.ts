import {
  complementSpans,
  countRunTokens,
  indicesOfRow,
  intersectRuns,
  pageTokens,
  type RunList,
  runsOfIndices,
  runsOfSpans,
  type Span,
  spansOfRow,
} from '@kvasir/core'
import type { KeptRows } from '@kvasir/kernels'
import type { EngineParts } from './engine-parts.ts'

/** Rows that the policy's plans left, a list a layer; rows from endTokens on all stay. The kernels hold the same. */
export interface KeptPrompt {
  readonly native: KeptRows
  readonly lists: readonly RunList[]
  readonly endTokens: number
  /** What the lists leave out of the rows before endTokens: [layer][kvHead] */
  readonly dropped: readonly (readonly (readonly Span[])[])[]
}

/** Carries a plan out: what was dropped before stays dropped. */
export function keepRows(
  { kernels, config }: EngineParts,
  before: KeptPrompt | null,
  keep: readonly RunList[],
  endTokens: number,
): KeptPrompt {
  const native = before?.native ?? kernels.createKeptRows(config.numLayers, config.numKvHeads)
  const lists = keep.map((list, layer) => {
    native.set(layer, list, endTokens)
    return before === null ? list : intersectRuns(list, heldList(before, layer, endTokens))
  })
  return { native, lists, endTokens, dropped: outsideOf(lists, endTokens) }
}

function outsideOf(lists: readonly RunList[], endTokens: number): KeptPrompt['dropped'] {
  return lists.map((list) =>
    Array.from({ length: numRowsOf(list) }, (_, row) => complementSpans(spansOfRow(list, row), endTokens)),
  )
}

export function forkKept(kept: KeptPrompt | null): KeptPrompt | null {
  return kept && { ...kept, native: kept.native.clone() }
}

/** Without the rows from numTokens on; null once none of the rows that it speaks of is left. */
export function cutKept(kept: KeptPrompt | null, numTokens: number): KeptPrompt | null {
  if (kept === null || numTokens >= kept.endTokens) return kept
  kept.native.truncate(numTokens)
  const left = runsOfSpans([{ start: 0, end: numTokens }], numRowsOf(kept.lists[0] as RunList))
  const lists = kept.lists.map((list) => intersectRuns(list, left))
  return { ...kept, lists, endTokens: numTokens, dropped: outsideOf(lists, numTokens) }
}

/** Rows that a layer's attention may read, all KV heads. */
export function heldList(kept: KeptPrompt, layer: number, numTokens: number): RunList {
  const list = kept.lists[layer] as RunList
  const later = Array.from({ length: numTokens - kept.endTokens }, (_, at) => kept.endTokens + at)
  return runsOfIndices(Array.from({ length: numRowsOf(list) }, (_, row) => [...indicesOfRow(list, row), ...later]))
}

/** Rows held at numTokens, summed over layers and KV heads. */
export function countHeld(kept: KeptPrompt, numTokens: number): number {
  const later = (numTokens - kept.endTokens) * numRowsOf(kept.lists[0] as RunList)
  return kept.lists.reduce((sum, list) => sum + countRunTokens(list) + later, 0)
}

/** Rows of a selection that are held at a layer, summed over KV heads; of lists a query head the mean of each group. */
export function countChosen(kept: KeptPrompt, layer: number, runs: RunList): number {
  const held = kept.lists[layer] as RunList
  const group = numRowsOf(runs) / numRowsOf(held)
  let tokens = 0
  for (let row = 0; row < numRowsOf(runs); row++) {
    tokens += countShared(runs, row, held, Math.floor(row / group)) + countFrom(runs, row, kept.endTokens)
  }
  return tokens / group
}

/** Indices that row `rowA` of one list and row `rowB` of another name both. */
function countShared(a: RunList, rowA: number, b: RunList, rowB: number): number {
  let tokens = 0
  let [i, j] = [a.rowStarts[rowA] as number, b.rowStarts[rowB] as number]
  while (i < (a.rowStarts[rowA + 1] as number) && j < (b.rowStarts[rowB + 1] as number)) {
    const endA = endOf(a, i)
    const endB = endOf(b, j)
    tokens += Math.max(0, Math.min(endA, endB) - Math.max(startOf(a, i), startOf(b, j)))
    if (endA <= endB) i++
    if (endB <= endA) j++
  }
  return tokens
}

/** Indices from `start` on that a row names. */
function countFrom(list: RunList, row: number, start: number): number {
  let tokens = 0
  for (let run = (list.rowStarts[row + 1] as number) - 1; run >= (list.rowStarts[row] as number); run--) {
    if (endOf(list, run) <= start) break
    tokens += endOf(list, run) - Math.max(start, startOf(list, run))
  }
  return tokens
}

function startOf({ runs }: RunList, run: number): number {
  return (runs[run * 3] as number) * pageTokens + (runs[run * 3 + 1] as number)
}

function endOf(list: RunList, run: number): number {
  return startOf(list, run) + (list.runs[run * 3 + 2] as number)
}

function numRowsOf({ rowStarts }: RunList): number {
  return rowStarts.length - 1
}
