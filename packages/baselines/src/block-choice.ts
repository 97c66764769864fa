import type { Span } from '@kvasir/core'
import type { AlwaysRead } from './budget.ts'

/** What a choice of blocks has to keep to. */
export interface BlockBudget extends AlwaysRead {
  readonly budgetTokens: number
  readonly blockTokens: number
}

/**
 * Sinks, recent rows, every row after the last indexed block (as far as the budget goes, from the last on), and the rows of the blocks with the largest `worth`
 * [numBlocks] until the budget is used up: the last block chosen is cut where it ends. Ascending indices; evicted rows
 * are left out, and cost nothing.
 */
export function chooseBlocks(
  worth: Float32Array,
  numBlocks: number,
  numTokens: number,
  budget: BlockBudget,
  evicted: readonly Span[] = [],
): Int32Array {
  const { blockTokens } = budget
  const unread = numTokens - (budget.budgetTokens - budget.sinkTokens)
  const tail = Math.max(unread, Math.min(numTokens - budget.recentTokens, numBlocks * blockTokens))
  const sinks = Math.min(budget.sinkTokens, tail)
  const last = numTokens - tail - countIn(evicted, tail, numTokens)
  let left = budget.budgetTokens - last - (sinks - countIn(evicted, 0, sinks))
  const chosen: Span[] = []
  const open = worth.slice(0, Math.min(numBlocks, Math.ceil(tail / blockTokens)))
  for (let tries = open.length; tries > 0 && left > 0; tries--) {
    const best = indexOfLargest(open)
    open[best] = Number.NEGATIVE_INFINITY
    const start = Math.max(sinks, best * blockTokens)
    const end = cutAt(evicted, start, Math.min(tail, (best + 1) * blockTokens), left)
    if (end <= start) continue
    chosen.push({ start, end })
    left -= end - start - countIn(evicted, start, end)
  }
  chosen.sort((a, b) => a.start - b.start)
  return indicesOf([{ start: 0, end: sinks }, ...chosen, { start: tail, end: numTokens }])
}

function indexOfLargest(values: Float32Array): number {
  let best = 0
  for (let at = 1; at < values.length; at++) if (values[at] > values[best]) best = at
  return best
}

/** Where [start, end) has to stop to hold at most `count` rows. */
function cutAt(evicted: readonly Span[], start: number, end: number, count: number): number {
  let cut = Math.min(end, start + count)
  while (cut < end && cut - start - countIn(evicted, start, cut) < count) cut++
  return cut
}

/** Rows of [start, end) that the spans hold; they ascend and do not overlap. */
function countIn(spans: readonly Span[], start: number, end: number): number {
  let count = 0
  for (const span of spans) count += Math.max(0, Math.min(end, span.end) - Math.max(start, span.start))
  return count
}

function indicesOf(spans: readonly Span[]): Int32Array {
  let count = 0
  for (const { start, end } of spans) count += end - start
  const indices = new Int32Array(count)
  let at = 0
  for (const { start, end } of spans) for (let index = start; index < end; index++) indices[at++] = index
  return indices
}
