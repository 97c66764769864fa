import type { EngineProfile } from '../engine-profile.ts'
import type { QuarantineEvent } from '../guard.ts'
import type { CachePolicy } from '../policy.ts'
import type { Scope } from '../scope.ts'

/** The least of an engine that the suites need. Adapters for real engines are a few lines. */
export interface EngineUnderTest {
  readonly profile: EngineProfile
  createSequence(options: SequenceTestOptions): SequenceUnderTest | Promise<SequenceUnderTest>
}

export interface SequenceTestOptions {
  /** @default the full cache */
  readonly policy?: CachePolicy
  /** @default private to the sequence */
  readonly scope?: Scope
  readonly onQuarantine?: (event: QuarantineEvent) => void
}

export interface SequenceUnderTest extends AsyncDisposable {
  readonly numTokens: number
  /** Appends tokens, chunkTokens at a time, and returns the logits after the last. */
  prefill(
    tokens: Int32Array,
    options?: { readonly chunkTokens?: number; readonly signal?: AbortSignal },
  ): Promise<Float32Array>
  /** Appends one token under the policy and returns the logits that follow. */
  decode(token: number, options?: { readonly signal?: AbortSignal }): Promise<Float32Array>
  /** A second sequence with the same rows and a fork of the policy's session. */
  fork(): SequenceUnderTest | Promise<SequenceUnderTest>
  /** Forgets all but the first numTokens tokens. */
  rewind(numTokens: number): void | Promise<void>
  /** Asks the policy what becomes a donor and returns its id, or null; of engines with `kv.export`. */
  publish?(): Promise<string | null>
}
