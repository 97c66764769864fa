import type { CachePolicy, Scope } from '@kvasir/core'

/** What a pair needs of a sequence. */
export interface PairSequence extends AsyncDisposable {
  prefill(tokens: Int32Array, options?: { readonly signal?: AbortSignal }): Promise<Float32Array>
  decode(token: number, options?: { readonly signal?: AbortSignal }): Promise<Float32Array>
  fork(): PairSequence | Promise<PairSequence>
  publish(): Promise<unknown>
  /** What became of a policy's offer to borrow; null where no policy offered. */
  reuse(): ReuseOutcome | null
}

/** As an engine reports it. */
export interface ReuseOutcome {
  readonly accepted: boolean
  readonly reason: string
  /** (token, layer) pairs of the prompt that were computed, of all. */
  readonly recomputedShare: number
}

/** What a pair needs of an engine. */
export interface PairEngine {
  createSequence(options: { readonly policy?: CachePolicy; readonly scope?: Scope }): PairSequence
  /** Ids of a prompt whose only turn is the user's. */
  encodePrompt(content: string): Int32Array
  encode(text: string): Int32Array
  decode(ids: Int32Array): string
  readonly eosIds: readonly number[]
}
