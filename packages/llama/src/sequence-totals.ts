import type { SequenceState } from './sequence-state.ts'

/** Rows read so far, summed over steps, layers and KV heads. */
export interface Totals {
  readonly attendedTokens: number
  readonly pooledTokens: number
  /** Time of native selectors by the clock. */
  readonly selectMs: number
  /** (KV head, layer, step) whose choice native selectors proved to be the exact one; 0 unless asked for. */
  readonly certifiedHeads: number
  /** (layer, step) that native selectors answered by an earlier choice. */
  readonly reusedCalls: number
}

/** What the engine counted, what native selectors counted, and the keys that a policy in JavaScript says it read. */
export function totalsOf({ counts, selectors, session }: SequenceState): Totals {
  let { attendedTokens } = counts
  let [pooledTokens, selectMs, certifiedHeads, reusedCalls] = [0, 0, 0, 0]
  for (const selector of selectors) {
    const native = selector.counts()
    attendedTokens += native.attendedTokens
    pooledTokens += native.pooledTokens
    selectMs += native.ms
    certifiedHeads += native.certifiedHeads
    reusedCalls += native.reusedCalls
  }
  return {
    attendedTokens,
    pooledTokens: Math.max(pooledTokens, session?.counts().pooledTokens ?? 0),
    selectMs,
    certifiedHeads,
    reusedCalls,
  }
}
