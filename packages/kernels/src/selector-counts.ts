import type { NativeSelector } from '@kvasir/core'

/** Sums over layers, KV heads and steps since the selector was made. */
export interface SelectorCounts {
  /** (layer, step) pairs answered. */
  readonly calls: number
  readonly attendedTokens: number
  readonly pooledTokens: number
}

/** A native selector that counts its work. */
export interface CountingSelector extends NativeSelector {
  counts(): SelectorCounts
}
