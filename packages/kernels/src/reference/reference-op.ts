import type { Run } from '../check-run.ts'
import type { Batch, Op } from '../ops.ts'

/** A run and its own copies of the index arrays, which callers may rewrite at once. */
export interface ReferenceRun extends Run {
  copyOf(indices: Int32Array): Int32Array
}

/** Computes rows [start, end) of an op; every row is independent of the others. */
export type ReferenceOp<T extends Op> = (op: T, start: number, end: number, run: ReferenceRun) => void

/** One sequence of a batch. */
export interface SequenceRows {
  readonly firstRow: number
  readonly endRow: number
  readonly contextTokens: number
  readonly pages: Int32Array
}

/** Index of row r in its sequence. */
export function indexOf(op: { positions?: Int32Array }, r: number, rows: SequenceRows, run: ReferenceRun): number {
  if (op.positions === undefined) return rows.contextTokens - (rows.endRow - r)
  return run.copyOf(op.positions)[r] as number
}

export function sequenceOf(batch: Batch, s: number, run: ReferenceRun): SequenceRows {
  const rowStarts = run.copyOf(batch.rowStarts)
  const pageStarts = run.copyOf(batch.pageStarts)
  return {
    firstRow: rowStarts[s] as number,
    endRow: rowStarts[s + 1] as number,
    contextTokens: run.copyOf(batch.contextTokens)[s] as number,
    pages: run.copyOf(batch.pages).subarray(pageStarts[s], pageStarts[s + 1]),
  }
}
