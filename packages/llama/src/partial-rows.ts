import { ropeTable } from '@kvasir/rope'
import type { EngineParts } from './engine-parts.ts'
import { type SequenceState, slotOf } from './sequence-state.ts'

/** The rows of one prompt that a partial prefill computes, with what they carry from layer to layer. */
export interface PartialRows {
  readonly state: SequenceState
  readonly tokens: Int32Array
  /** Index of each row in the prompt, ascending. */
  rows: Int32Array
  /** Place of each row in the arrays below, which keep the rows that were computed at the first layer. */
  places: Int32Array
  /** [first rows][hiddenDim] */
  readonly hidden: Float32Array
  /** [first rows][rotaryDim / 2] */
  readonly cos: Float32Array
  readonly sin: Float32Array
}

export function partialRows(
  { config }: EngineParts,
  state: SequenceState,
  tokens: Int32Array,
  rows: Int32Array,
): PartialRows {
  const { cos, sin } = ropeTable(config.rope, rows)
  const places = Int32Array.from(rows, (_, place) => place)
  return { state, tokens, rows, places, hidden: new Float32Array(rows.length * config.hiddenDim), cos, sin }
}

/** Goes on with `next`, which are among the rows. */
export function narrowRows(of: PartialRows, next: Int32Array): void {
  let at = 0
  of.places = next.map((row) => {
    while (of.rows[at] !== row) at++
    return of.places[at] as number
  })
  of.rows = next
}

/** Rows [from, to) of one prompt in a chunk. */
export interface PartialSlice {
  readonly of: PartialRows
  readonly from: number
  readonly to: number
}

/** The rows of all prompts in order, at most maxRows of maxSequences prompts a chunk. */
export function cutRows(all: readonly PartialRows[], maxRows: number, maxSequences: number): PartialSlice[][] {
  const chunks: PartialSlice[][] = []
  let room = 0
  for (const of of all) {
    for (let from = 0; from < of.rows.length; ) {
      if (room === 0 || chunks.at(-1)?.length === maxSequences) {
        chunks.push([])
        room = maxRows
      }
      const to = Math.min(of.rows.length, from + room)
      chunks.at(-1)?.push({ of, from, to })
      room -= to - from
      from = to
    }
  }
  return chunks
}

/** Writes a chunk into the workspace: ids, slots, positions, rotation, page tables and the residual stream. */
export function loadRows({ workspace, config, programs }: EngineParts, chunk: readonly PartialSlice[]): void {
  const { batch } = workspace
  const { positions } = programs.partial()
  const pairs = config.rope.rotaryDim / 2
  let row = 0
  let page = 0
  chunk.forEach(({ of, from, to }, sequence) => {
    const { state, tokens } = of
    batch.rowStarts[sequence] = row
    batch.contextTokens[sequence] = tokens.length
    batch.pageStarts[sequence] = page
    for (let at = from; at < to; at++, row++) {
      const index = of.rows[at] as number
      const place = of.places[at] as number
      workspace.ids[row] = tokens[index] as number
      workspace.slots[row] = slotOf(state, index)
      positions[row] = index
      copyRow(of.cos, place, workspace.cos, row, pairs)
      copyRow(of.sin, place, workspace.sin, row, pairs)
      copyRow(of.hidden, place, workspace.hidden, row, config.hiddenDim)
    }
    batch.pages.set(state.pages, page)
    page += state.pages.length
  })
  batch.rowStarts[chunk.length] = row
  batch.pageStarts[chunk.length] = page
}

/** Takes the residual stream of a chunk back out of the workspace. */
export function storeRows({ workspace, config }: EngineParts, chunk: readonly PartialSlice[]): void {
  let row = 0
  for (const { of, from, to } of chunk) {
    for (let at = from; at < to; at++, row++) {
      copyRow(workspace.hidden, row, of.hidden, of.places[at] as number, config.hiddenDim)
    }
  }
}

function copyRow(from: Float32Array, fromRow: number, to: Float32Array, toRow: number, dim: number): void {
  to.set(from.subarray(fromRow * dim, (fromRow + 1) * dim), toRow * dim)
}
