import type { Provenance } from './provenance.ts'
import type { RunList } from './run-list.ts'
import type { Scope } from './scope.ts'
import type { Span } from './segment.ts'

/** Which rows attention may read at a step. The current token's own row must be among them. */
export type Selection =
  | { readonly kind: 'all' }
  /**
   * One row of the list a KV head of the layer, or one a query head where the engine has `select.per-query-head`. At
   * scope `step` the list serves every layer.
   */
  | { readonly kind: 'runs'; readonly runs: RunList; readonly moved?: readonly MovedSpan[] }
  /** Chosen inside the step by a native selector; the engine must list the capability `select.native:${selector.kind}`. */
  | { readonly kind: 'native'; readonly selector: NativeSelector }

/** Rows read as if they stood `by` positions later (earlier where negative), keys turned from their stored rotation. Needs `select.moved`. */
export interface MovedSpan extends Span {
  readonly by: number
}

/** A selector that the engine's kernels run; made by @kvasir/kernels. */
export interface NativeSelector {
  readonly kind: string
}

/** What to keep of the rows that stand. Absent `evict`: everything. */
export interface RetainPlan {
  /** Index spans to forget in all layers, ascending, not overlapping; other rows keep their indices. Needs `retain.evict`. */
  readonly evict?: readonly Span[]
  /**
   * Rows that attention may still read of those that stand: a list a layer, a row of it a KV head. Rows that come later
   * stay until a later plan; what one plan drops no plan brings back. Needs `retain.per-head`. @default all rows
   */
  readonly keep?: readonly RunList[]
  readonly reason?: string
}

/** Rows of a prompt, ascending. */
export interface RowSet {
  readonly rows: Int32Array
}

/** Target rows [start, end) take a donor's rows from donorStart on. */
export interface BorrowedPiece extends Span {
  /** Id under which the rows were published. */
  readonly donor: string
  readonly donorStart: number
}

/** Borrowed KV, and the rows that are computed all the same. */
export interface ReusePlan {
  readonly kind: 'reuse'
  readonly pieces: readonly BorrowedPiece[]
  /** moved: keys turn to their new positions. stored: they keep their rotation, as some papers have it. @default 'moved' */
  readonly keys?: 'moved' | 'stored'
  /** Rows computed at the first layer; everything that no piece covers and that does not stand is among them, and the last row. */
  readonly recompute: RowSet
  /** After how many of the first layers the session is asked for the rows of the next one. @default all of them */
  readonly watchLayers?: number
  readonly provenance: Provenance
  readonly reason: string
  /** Once the reply is there, compute the prompt in full as well and tell the session (`audit`). @default false */
  readonly audit?: boolean
}

/** No reuse, and why. */
export interface Decline {
  readonly kind: 'decline'
  readonly reason: string
}

/** Moves between tiers, by index span. */
export interface PlacePlan {
  readonly moves: readonly (Span & { readonly tier: string })[]
  readonly reason: string
}

/** What becomes a donor. Approximate KV is refused. */
export interface PublishPlan {
  readonly spans: readonly Span[]
  readonly scope: Scope
  readonly provenance: Provenance
}
