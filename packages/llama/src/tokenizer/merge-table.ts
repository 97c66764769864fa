import { ModelError } from '../model-error.ts'
import type { TokenIndex } from './token-index.ts'

/** The merges of a BPE vocabulary in order of rank, with a hash from a pair of token ids to its rank. */
export interface MergeTable {
  /** [rank] -> id of the left part, of the right part, of both joined. */
  readonly left: Int32Array
  readonly right: Int32Array
  readonly merged: Int32Array
  /** The rank of a pair, -1 where the pair does not merge. */
  rankOf(left: number, right: number): number
}

/**
 * Builds the table from merges spelled `left right`. Throws ModelError where a part or the result is not a token.
 * An open-addressing hash in typed arrays: a Map with numeric keys past 2^31 takes three times as long to build and read.
 */
export function mergeTable(merges: readonly string[], index: TokenIndex): MergeTable {
  const left = new Int32Array(merges.length)
  const right = new Int32Array(merges.length)
  const merged = new Int32Array(merges.length)
  const mask = 2 ** Math.ceil(Math.log2(merges.length * 2 + 2)) - 1
  /** [hash] -> rank, -1 where empty. */
  const slots = new Int32Array(mask + 1).fill(-1)

  const slotOf = (leftId: number, rightId: number): number => {
    let hash = Math.imul(leftId, 0x9e3779b1) ^ Math.imul(rightId, 0x85ebca6b)
    hash ^= hash >>> 15
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const rank = slots[slot]
      if (rank < 0 || (left[rank] === leftId && right[rank] === rightId)) return slot
    }
  }

  merges.forEach((merge, rank) => {
    const border = merge.indexOf(' ', 1)
    const leftId = index.find(merge, 0, border)
    const rightId = index.find(merge, border + 1)
    const mergedId = index.find(merge, 0, merge.length, border)
    if (border < 0 || leftId < 0 || rightId < 0 || mergedId < 0) {
      const expected = 'two tokens with a space between, whose union is a token'
      throw new ModelError('bad-vocabulary', `tokenizer.ggml.merges[${rank}]`, expected, merge)
    }
    left[rank] = leftId
    right[rank] = rightId
    merged[rank] = mergedId
    const slot = slotOf(leftId, rightId)
    if (slots[slot] < 0) slots[slot] = rank
  })
  return { left, right, merged, rankOf: (leftId, rightId) => slots[slotOf(leftId, rightId)] }
}
