import { type CachePolicy, checkInteger, DisposedError, type ReuseAudit } from '@kvasir/core'
import { auditReuse } from './audit.ts'
import { type DecodeStep, decode, type SelectedView } from './decode.ts'
import type { EngineParts } from './engine-parts.ts'
import { countHeld, cutKept } from './kept-rows.ts'
import { cutObserved } from './observed-prompt.ts'
import { type PrefillRequest, prefill } from './prefill.ts'
import { publishRows } from './publish.ts'
import type { ReuseReport } from './reuse.ts'
import { releasePagesAfter, type SequenceState } from './sequence-state.ts'
import { totalsOf } from './sequence-totals.ts'
import type { Turnstile } from './turnstile.ts'

export interface PrefillOptions {
  /** Called with the logits of every token; the view is overwritten by the next call. */
  readonly onLogits?: (index: number, logits: Float32Array) => void
  readonly signal?: AbortSignal
  /** Rows of one native call. @default the model's chunkTokens, which is also the most */
  readonly chunkTokens?: number
}

export interface DecodeOptions {
  readonly signal?: AbortSignal
  /** Shows what was selected at each layer of this step, which makes it slower. */
  readonly onSelected?: (view: SelectedView) => void
}

/** Totals of one sequence. Counts of tokens are summed over steps, layers and KV heads. */
export interface SequenceReport {
  readonly numTokens: number
  readonly decodeSteps: number
  /** Steps at which every layer read all that is held. */
  readonly denseSteps: number
  /** KV rows that decode attention read; where query heads read rows of their own, the mean over those of a KV head. */
  readonly attendedTokens: number
  /** Keys read exactly by selectors only to choose among them. */
  readonly pooledTokens: number
  /** Tokens taken over from the exact prefix cache. */
  readonly reusedTokens: number
  /** Time of native selectors by the clock. */
  readonly selectMs: number
  /** (KV head, layer, step) whose choice native selectors proved to be the exact one; 0 unless asked for. */
  readonly certifiedHeads: number
  /** (layer, step) that native selectors answered by an earlier choice. */
  readonly reusedCalls: number
  /** Rows and keys read at the decode step that read most. */
  readonly peakAttendedTokens: number
  readonly peakPooledTokens: number
  /** Rows that must be kept to go on, summed over layers and KV heads. */
  readonly heldTokens: number
  /** Memory of the rows held, as stored. */
  readonly kvBytes: number
  /** Memory of the policy's indexes beside the KV. */
  readonly indexBytes: number
  /** What became of borrowing rows for the prompt; null where no policy offered. */
  readonly reuse: ReuseReport | null
}

/** What sequences of one model share. */
export interface SequenceHost {
  readonly parts: EngineParts
  readonly turnstile: Turnstile
  /** Publishes what the policy says; a failure is told to `onQuarantine`. */
  publishAtEnd(state: SequenceState): Promise<void>
  /** `current` is the policy of `from`; `fresh`, if given, takes its place and starts anew. */
  fork(from: SequenceState, current: CachePolicy | undefined, fresh: CachePolicy | undefined): Promise<Sequence>
}

/** A growing token sequence with its KV rows and its policy session. Calls are carried out in order, one at a time. */
export class Sequence implements AsyncDisposable {
  readonly #host: SequenceHost
  readonly #state: SequenceState
  readonly #policy: CachePolicy | undefined
  #finalReport: SequenceReport | undefined

  constructor(host: SequenceHost, state: SequenceState, policy: CachePolicy | undefined) {
    this.#host = host
    this.#state = state
    this.#policy = policy
  }

  get id(): string {
    return this.#state.id
  }

  get numTokens(): number {
    return this.#state.tokens.length
  }

  /** Ids of the tokens held (a copy). */
  tokens(): Int32Array {
    return Int32Array.from(this.#state.tokens)
  }

  /**
   * Appends tokens densely and returns the logits [vocabSize] after the last. Longest exact prefix of the scope is
   * reused first. Throws OptionError for no tokens or unknown ids, ContextError where they do not fit.
   */
  async prefill(tokens: ArrayLike<number>, options: PrefillOptions = {}): Promise<Float32Array> {
    const { parts, turnstile } = this.#host
    const { onLogits, ...run } = options
    const [logits] = await turnstile.pass(() => prefill(parts, [this.request(tokens, onLogits)], run))
    return logits
  }

  /** Appends one token under the policy and returns the logits [vocabSize] that follow it. */
  async decode(token: number, options: DecodeOptions = {}): Promise<Float32Array> {
    const { parts, turnstile } = this.#host
    const { signal, onSelected } = options
    const [logits] = await turnstile.pass(() => decode(parts, [this.step(token, onSelected)], signal))
    return logits
  }

  /** This sequence's part of a `LlamaModel.prefill`. */
  request(tokens: ArrayLike<number>, onLogits?: PrefillOptions['onLogits']): PrefillRequest {
    return { state: this.#state, tokens, ...(onLogits && { onLogits }) }
  }

  /** This sequence's part of a `LlamaModel.decode`. */
  step(token: number, onSelected?: DecodeStep['onSelected']): DecodeStep {
    return { state: this.#state, token, ...(onSelected && { onSelected }) }
  }

  /**
   * A second sequence with the same rows, sharing their pages until one of the two writes. Without `policy` it goes on
   * with a fork of this sequence's session; with one, that policy starts anew and is shown the rows as one chunk.
   */
  fork(options: { readonly policy?: CachePolicy } = {}): Promise<Sequence> {
    return this.#host.turnstile.pass(() => this.#host.fork(this.#alive(), this.#policy, options.policy))
  }

  /** Forgets all but the first numTokens tokens. */
  async rewind(numTokens: number): Promise<void> {
    await this.#host.turnstile.pass(async () => {
      const state = this.#alive()
      checkInteger('numTokens', numTokens, 0, state.tokens.length)
      state.session?.rewind(numTokens)
      state.tokens.length = numTokens
      state.exactTokens = Math.min(state.exactTokens, numTokens)
      if (numTokens < (state.audit?.tokens.length ?? 0)) state.audit = null
      state.text?.resume(state.tokens)
      state.observed = cutObserved(state.observed, numTokens)
      state.kept = cutKept(state.kept, numTokens)
      releasePagesAfter(state, numTokens, this.#host.parts.pool)
    })
  }

  /**
   * Asks the policy which of the rows become a donor for other sequences of the scope and stores those. Returns the
   * donor's id, or null; rows that were published stay so. `dispose` does it too. Throws a ProvenanceError for rows that are not exact.
   */
  publish(options: { readonly signal?: AbortSignal } = {}): Promise<string | null> {
    return this.#host.turnstile.pass(() => publishRows(this.#host.parts, this.#alive(), options.signal))
  }

  /**
   * Where the plan by which the prompt borrowed rows asked for it: computes the prompt in full on the side, which takes as
   * long as a full prefill, tells the policy how far off the borrowed one was, and returns that; else null, and where the KV
   * memory has no room for a second prompt: it can be done later. `generate` does it behind a whole reply; who calls
   * `prefill` and `decode` has to ask.
   */
  audit(options: { readonly signal?: AbortSignal } = {}): Promise<ReuseAudit | null> {
    return this.#host.turnstile.pass(() => auditReuse(this.#host.parts, this.#alive(), options.signal))
  }

  /** Totals so far; after dispose, those at its end. */
  report(): SequenceReport {
    return this.#finalReport ?? reportOf(this.#state, this.#host.parts)
  }

  /** Gives the pages back and closes the policy session. Safe to call twice. */
  async dispose(): Promise<void> {
    await this.#host.turnstile.pass(async () => {
      const state = this.#state
      if (state.disposed) return
      this.#finalReport = reportOf(state, this.#host.parts)
      await this.#host.publishAtEnd(state)
      state.disposed = true
      releasePagesAfter(state, 0, this.#host.parts.pool)
      state.kept?.native.dispose()
      await state.session?.[Symbol.asyncDispose]()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #alive(): SequenceState {
    if (!this.#state.disposed) return this.#state
    throw new DisposedError({
      parameter: 'sequence',
      expected: 'a sequence that is in use',
      got: `${this.#state.id}, disposed`,
    })
  }
}

function reportOf(state: SequenceState, { arena, config }: EngineParts): SequenceReport {
  const { tokens, counts, session, kept } = state
  const { decodeSteps, denseSteps, reusedTokens, peakAttendedTokens, peakPooledTokens } = counts
  const policy = session?.counts()
  const all = tokens.length * config.numLayers * config.numKvHeads
  return {
    numTokens: tokens.length,
    decodeSteps,
    denseSteps: policy?.denseSteps ?? denseSteps,
    ...totalsOf(state),
    peakAttendedTokens,
    peakPooledTokens,
    heldTokens: policy?.heldTokens ?? (kept ? countHeld(kept, tokens.length) : all),
    reusedTokens,
    kvBytes: tokens.length * (arena.pageBytes / 16),
    indexBytes: policy?.indexBytes ?? 0,
    reuse: state.reuse,
  }
}
