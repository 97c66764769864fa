import { countRunTokens, type RunList, runsWithoutSpans } from './run-list.ts'
import type { Span } from './segment.ts'
import type { KvReader } from './views.ts'

const none: readonly Span[] = []

/**
 * Rows that attention of a KV head no longer reads, ascending, whatever is selected. A selector that chooses among the
 * others reads as many as its budget says, also where other policies of a stack dropped rows.
 */
export function droppedSpans(kv: KvReader, layer: number, kvHead: number): readonly Span[] {
  return kv.dropped?.(layer, kvHead) ?? kv.evicted ?? none
}

/** Tokens that attention of a layer reads of a list with a row a KV head, summed over its rows: dropped ones do not count. */
export function countReadTokens(kv: KvReader, layer: number, list: RunList): number {
  return countRunTokens(runsWithoutSpans(list, (kvHead) => droppedSpans(kv, layer, kvHead)))
}
