/** How a weight format stores a row: blocks of `blockValues` values in `blockBytes` bytes. */
export interface WeightFormat {
  readonly blockValues: number
  readonly blockBytes: number
  /** Writes the blockValues values of the block at byte `at` to `out` from `outAt` on, computed in float32. */
  decode(data: DataView, at: number, out: Float32Array, outAt: number): void
}
