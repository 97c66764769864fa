import type { MergeTable } from './merge-table.ts'

/** Splits heap keys `rank * RANK_STEP + position`; with ranks below 2^21 keys stay exact in a double. */
const RANK_STEP = 2 ** 31

/**
 * Byte-pair encoding of one piece (Sennrich et al. 2016): while some neighbouring pair merges, join the pair of lowest
 * rank, the leftmost of equals. A linked list with a heap of candidate pairs, so a piece of n symbols takes
 * O(n log n): one long run of letters must not take quadratic time. A negative symbol merges with nothing and is dropped.
 * `symbols` is overwritten.
 */
export function mergeSymbols(symbols: Int32Array, table: MergeTable): number[] {
  const { length } = symbols
  const next = Int32Array.from(symbols, (_, i) => i + 1)
  const previous = Int32Array.from(symbols, (_, i) => i - 1)
  const heap: number[] = []
  const propose = (position: number) => {
    if (position < 0 || next[position] >= length) return
    const rank = table.rankOf(symbols[position], symbols[next[position]])
    if (rank >= 0) pushHeap(heap, rank * RANK_STEP + position)
  }

  for (let i = 0; i < length; i++) propose(i)
  while (heap.length > 0) {
    const key = popHeap(heap)
    const rank = Math.floor(key / RANK_STEP)
    const position = key % RANK_STEP
    const follower = next[position]
    // A candidate is stale once either of its symbols has become part of another token.
    if (follower >= length || symbols[position] !== table.left[rank] || symbols[follower] !== table.right[rank])
      continue
    symbols[position] = table.merged[rank]
    symbols[follower] = -1
    next[position] = next[follower]
    if (next[position] < length) previous[next[position]] = position
    propose(previous[position])
    propose(position)
  }
  return Array.from(symbols).filter((symbol) => symbol >= 0)
}

/** The definition, word for word, in quadratic time: what `mergeSymbols` must equal. */
export function mergeSymbolsReference(symbols: readonly number[], table: MergeTable): number[] {
  const ids = [...symbols]
  for (;;) {
    const ranks = ids.slice(1).map((right, i) => table.rankOf(ids[i], right))
    const lowest = Math.min(...ranks.filter((rank) => rank >= 0))
    const position = ranks.indexOf(lowest)
    if (position < 0) return ids
    ids.splice(position, 2, table.merged[lowest])
  }
}

/** Adds to a binary min-heap. */
function pushHeap(heap: number[], key: number): void {
  let at = heap.length
  heap.push(key)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent] <= key) break
    heap[at] = heap[parent]
    at = parent
  }
  heap[at] = key
}

/** Removes the smallest of a binary min-heap that is not empty. */
function popHeap(heap: number[]): number {
  const smallest = heap[0]
  const last = heap.pop() as number
  const { length } = heap
  if (length === 0) return smallest
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= length) break
    if (child + 1 < length && heap[child + 1] < heap[child]) child++
    if (heap[child] >= last) break
    heap[at] = heap[child]
    at = child
  }
  heap[at] = last
  return smallest
}
