import type { Span } from '@kvasir/core'
import type { AlwaysRead } from './budget.ts'
import { indicesOutside } from './rows-outside.ts'

/** What a choice of blocks has to keep to. */
export interface BlockBudget extends AlwaysRead {
  readonly budgetTokens: number
  readonly blockTokens: number
}

/**
 * Sinks, recent rows, every row after the last indexed block (as far as the budget goes, from the last on), and the rows of
 * the blocks with the largest `worth` [numBlocks] until the budget is used up: the last block chosen is cut where it ends.
 * Blocks worth -Infinity are not chosen. Ascending indices; rows that were dropped are left out, and cost nothing.
 */
export function chooseBlocks(
  worth: Float32Array,
  numBlocks: number,
  numTokens: number,
  { budgetTokens, blockTokens, sinkTokens, recentTokens }: BlockBudget,
  dropped: readonly Span[] = [],
): Int32Array {
  const unread = numTokens - (budgetTokens - sinkTokens)
  const tail = Math.max(0, unread, Math.min(numTokens - recentTokens, numBlocks * blockTokens))
  const sinks = Math.min(sinkTokens, tail)
  const parts: Int32Array[] = []
  let left = budgetTokens
  const read = (start: number, end: number) => {
    const rows = indicesOutside(dropped, start, end, left)
    left -= rows.length
    if (rows.length > 0) parts.push(rows)
  }
  read(0, sinks)
  read(tail, numTokens)
  const open = worth.slice(0, Math.min(numBlocks, Math.ceil(tail / blockTokens)))
  while (left > 0) {
    const best = indexOfLargest(open)
    if (best < 0) break
    open[best] = Number.NEGATIVE_INFINITY
    read(Math.max(sinks, best * blockTokens), Math.min(tail, (best + 1) * blockTokens))
  }
  return joinAscending(parts)
}

/** The first of the largest values above -Infinity; -1 if there is none. */
function indexOfLargest(values: Float32Array): number {
  let best = -1
  let most = Number.NEGATIVE_INFINITY
  for (let at = 0; at < values.length; at++) {
    if (!(values[at] > most)) continue
    best = at
    most = values[at]
  }
  return best
}

/** One list of lists that ascend and do not overlap. */
function joinAscending(parts: Int32Array[]): Int32Array {
  const joined = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts.sort((a, b) => a[0] - b[0])) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
