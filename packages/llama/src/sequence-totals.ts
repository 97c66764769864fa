import type { SequenceState } from './sequence-state.ts'

/** Rows read so far, summed over steps, layers and KV heads. */
export interface Totals {
  readonly attendedTokens: number
  readonly pooledTokens: number
}

/** What the engine counted, what native selectors counted, and the keys that a policy in JavaScript says it read. */
export function totalsOf({ counts, selectors, session }: SequenceState): Totals {
  let { attendedTokens } = counts
  let pooledTokens = 0
  for (const selector of selectors) {
    const native = selector.counts()
    attendedTokens += native.attendedTokens
    pooledTokens += native.pooledTokens
  }
  return { attendedTokens, pooledTokens: Math.max(pooledTokens, session?.counts().pooledTokens ?? 0) }
}
