import { pageTokens } from '@kvasir/core'
import { ropeTable } from '@kvasir/rope'
import type { EngineParts } from './engine-parts.ts'
import { reserveRows, type SequenceState, slotOf } from './sequence-state.ts'

/** New rows of one sequence in a batch: its tokens from index tokens.length of the state on. */
export interface BatchSlice {
  readonly state: SequenceState
  readonly tokens: ArrayLike<number>
}

/** Writes the slices into the workspace: ids, slots, rotation and page tables. Returns the number of rows. */
export function fillBatch(parts: EngineParts, slices: readonly BatchSlice[]): number {
  const { workspace, config, pool, arena } = parts
  const { batch } = workspace
  const positions: number[] = []
  let row = 0
  let page = 0
  slices.forEach(({ state, tokens }, sequence) => {
    makeRoom(parts, state, tokens.length)
    reserveRows(state, tokens.length, pool, arena)
    const first = state.tokens.length
    batch.rowStarts[sequence] = row
    batch.contextTokens[sequence] = first + tokens.length
    batch.pageStarts[sequence] = page
    for (let i = 0; i < tokens.length; i++, row++) {
      workspace.ids[row] = tokens[i] as number
      workspace.slots[row] = slotOf(state, first + i)
      positions.push(first + i)
    }
    batch.pages.set(state.pages, page)
    page += state.pages.length
  })
  batch.rowStarts[slices.length] = row
  batch.pageStarts[slices.length] = page
  const { cos, sin } = ropeTable(config.rope, positions)
  workspace.cos.set(cos)
  workspace.sin.set(sin)
  return row
}

/** The new rows stand: the states take the tokens in. */
export function commitBatch(slices: readonly BatchSlice[], exact: boolean): void {
  for (const { state, tokens } of slices) {
    if (exact && state.exactTokens === state.tokens.length) state.exactTokens += tokens.length
    for (let i = 0; i < tokens.length; i++) state.tokens.push(tokens[i] as number)
  }
}

/** Evicts unused cached prefixes until the rows fit, as far as that goes. */
export function makeRoom({ pool, prefixCache }: EngineParts, state: SequenceState, count: number): void {
  // One more than the rows need: the last page may have to be copied out of a shared one.
  const wanted = Math.ceil((state.tokens.length + count) / pageTokens) - state.pages.length + 1
  while (pool.freePages < wanted && prefixCache.evictOne()) {}
}
