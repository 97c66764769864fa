/** A half-open range [start, end) of token indices (or of characters, where a docstring says so). */
export interface Span {
  readonly start: number
  readonly end: number
}

/** A piece of meaning in token units: one identity for compression, placement, prefetch, reuse and eviction. */
export interface Segment extends Span {
  /** Counts the segments of one sequence from 0 in order. */
  readonly id: number
  /** What the text of it is, e.g. prose, code, table. */
  readonly kind: string
}
