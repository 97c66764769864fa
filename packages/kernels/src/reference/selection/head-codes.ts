import type { SegmentIndexContents } from '../../selection.ts'

/** Reads K rows [start, end) of one KV head. */
export type ReadRows = (start: number, end: number) => Float32Array[]

/** What an index keeps of one layer and KV head, and the estimates from it. Queries are [headDim]. */
export interface HeadCodes {
  /** Adds the segment [start, end), which follows the last; rows of earlier segments may be read again. */
  add(read: ReadRows, start: number, end: number): void
  /** Keeps the first segments. */
  truncate(numSegments: number): void
  clone(): HeadCodes
  /** [tokens] estimated scores q.k * scale */
  estimate(q: Float32Array, scale: number): Float64Array
  /** [tokens] at most so much are scores above their estimates */
  bounds(q: Float32Array, scale: number): Float64Array
  /** [segments] logarithm of the mean of exp(score); missing where no deviations are kept */
  densities?(q: Float32Array, scale: number): number[]
  read(): SegmentIndexContents
  /** As native code lays it out, without its spare room. */
  readonly bytes: number
}
