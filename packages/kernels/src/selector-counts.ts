import type { NativeSelector } from '@kvasir/core'

/** Sums over layers, KV heads and steps since the selector was made. */
export interface SelectorCounts {
  /** (layer, step) pairs answered. */
  readonly calls: number
  readonly attendedTokens: number
  readonly pooledTokens: number
  /** KV heads of calls whose choice is proven to be the exact one; 0 unless it was asked for. */
  readonly certifiedHeads: number
  /** Calls that an earlier choice answered. */
  readonly reusedCalls: number
  /** Time of the calls by the clock. */
  readonly ms: number
}

/** A native selector that counts its work. */
export interface CountingSelector extends NativeSelector {
  counts(): SelectorCounts
}
