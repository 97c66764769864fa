import type { DonorStore } from '../donors.ts'
import type { EngineProfile } from '../engine-profile.ts'
import { DisposedError, OptionError, PlanError, ProvenanceError } from '../errors.ts'
import { checkInteger } from '../options.ts'
import type { CachePolicy, PolicyCounts } from '../policy.ts'
import type { SequenceUnderTest } from './engine-under-test.ts'
import { toyAttention } from './toy-attention.ts'
import { openLent, toyDonor } from './toy-donors.ts'
import { readToyRows } from './toy-reader.ts'
import {
  adoptRows,
  copyRows,
  decodeRow,
  evictRows,
  keepRows,
  prefillRows,
  rewindRows,
  type ToyState,
} from './toy-rows.ts'
import { embeddingRows, type ToyWeights, vocabSize } from './toy-weights.ts'

/** What the sequences of one toy engine share. */
export interface ToyShared {
  readonly profile: EngineProfile
  readonly weights: ToyWeights
  readonly donors: DonorStore
  numSequences: number
}

export interface ToyReport {
  readonly numTokens: number
  readonly decodeSteps: number
  /** KV rows that decode attention read, summed over steps, layers and KV heads. */
  readonly attendedTokens: number
  readonly evictedTokens: number
  /** Prompt rows taken over from donors and not computed at the first layer. */
  readonly borrowedTokens: number
  readonly quarantined: boolean
  /** What the policy itself counted. */
  readonly policy: PolicyCounts | null
}

/** A growing sequence of bytes with its KV rows and its policy session. One call at a time. */
export class ToySequence implements SequenceUnderTest {
  readonly #shared: ToyShared
  readonly #policy: CachePolicy | undefined
  readonly #state: ToyState
  #borrowedTokens = 0
  #disposed = false
  #text = new TextDecoder()

  constructor(shared: ToyShared, policy: CachePolicy | undefined, state: ToyState) {
    this.#shared = shared
    this.#policy = policy
    this.#state = state
  }

  get id(): string {
    return this.#state.id
  }

  get numTokens(): number {
    return this.#state.tokens.length
  }

  /** After an abort the sequence holds the chunks that were finished. */
  async prefill(
    tokens: Int32Array,
    options: { readonly chunkTokens?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    this.#check(tokens)
    if (tokens.length === 0) throw new OptionError({ parameter: 'tokens', expected: 'at least one token', got: tokens })
    const chunkTokens = checkInteger('chunkTokens', options.chunkTokens ?? tokens.length, 1)
    options.signal?.throwIfAborted()
    const adopted = await this.#adopt(tokens, options.signal)
    if (adopted) return adopted
    const first = this.numTokens
    let logits: Float32Array = new Float32Array(0)
    for (let start = 0; start < tokens.length; start += chunkTokens) {
      options.signal?.throwIfAborted()
      const chunk = tokens.slice(start, start + chunkTokens)
      logits = prefillRows(this.#shared.weights, this.#state, chunk)
      await this.#retain(chunk, this.#pieces(chunk), first, start + chunkTokens >= tokens.length, options.signal)
    }
    return logits
  }

  async decode(token: number, options: { readonly signal?: AbortSignal } = {}): Promise<Float32Array> {
    this.#check([token])
    const { signal } = options
    signal?.throwIfAborted()
    const state = this.#state
    const logits = decodeRow(this.#shared.weights, state, token)
    const [piece] = this.#pieces([token])
    const index = this.numTokens - 1
    await state.session?.append({ token, piece, index, kv: readToyRows(state, index + 1), ...(signal && { signal }) })
    return logits
  }

  fork(): ToySequence {
    this.#check([])
    const state = this.#state
    const { profile } = this.#shared
    const id = `toy-${++this.#shared.numSequences}`
    const session = state.session?.fork({ id, profile, scope: state.scope }) ?? null
    const layers = state.layers.map(copyRows)
    const dropped = state.dropped.map((heads) => heads.map((rows) => new Set(rows)))
    const tokens = [...state.tokens]
    return new ToySequence(this.#shared, this.#policy, { ...state, id, session, tokens, layers, dropped })
  }

  rewind(numTokens: number): void {
    this.#check([])
    checkInteger('numTokens', numTokens, 0, this.numTokens)
    this.#state.session?.rewind(numTokens)
    rewindRows(this.#state, numTokens)
    this.#text = new TextDecoder()
  }

  /** Asks the policy what becomes a donor, under this sequence's id. Throws a ProvenanceError for rows that are not exact. */
  async publish(): Promise<string | null> {
    this.#check([])
    const state = this.#state
    const { donors, profile } = this.#shared
    if (state.session === null) return null
    const plan = state.session.publish({
      tokens: Int32Array.from(state.tokens),
      kv: readToyRows(state, this.numTokens),
    })
    const [span, ...others] = plan.spans
    if (span === undefined) return null
    if (span.start !== 0 || others.length > 0) {
      throw new PlanError({ parameter: 'plan.spans', expected: 'one span, from row 0 on', got: plan.spans })
    }
    if (span.end > state.exactTokens) {
      const expected = `rows in [0, ${state.exactTokens}), which were computed in full`
      throw new ProvenanceError({ parameter: 'plan.spans', expected, got: [span.start, span.end] })
    }
    return (await donors.put(toyDonor(state, profile.format!, span.end))) ? state.id : null
  }

  report(): ToyReport {
    const { decodeSteps, attendedTokens, evicted, session } = this.#state
    return {
      numTokens: this.numTokens,
      decodeSteps,
      attendedTokens,
      evictedTokens: evicted.reduce((sum, { start, end }) => sum + end - start, 0),
      borrowedTokens: this.#borrowedTokens,
      quarantined: session?.quarantined ?? false,
      policy: session?.counts() ?? null,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    await this.#state.session?.[Symbol.asyncDispose]()
  }

  async #adopt(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array | null> {
    const { session } = this.#state
    const { weights, donors, profile } = this.#shared
    if (session === null || this.numTokens > 0) return null
    const pieces = this.#pieces(tokens)
    this.#text = new TextDecoder()
    const embeddings = (ids: Int32Array) => embeddingRows(weights, ids)
    const plan = await session.reuse({ tokens, pieces, embeddings })
    const lent = plan.kind === 'reuse' ? await openLent(donors, this.#state, { plan, tokens }, profile.format!) : null
    if (plan.kind === 'decline' || lent === null) return null
    const logits = adoptRows(weights, this.#state, { tokens, plan, lent, ...(signal && { signal }) })
    if ('kind' in logits) return null
    this.#borrowedTokens = tokens.length - plan.recompute.rows.length
    await this.#retain(tokens, pieces, 0, true)
    return logits
  }

  /** `promptStart` is the index of the prompt's first token, `tokens` its chunk that ends the sequence. */
  async #retain(
    tokens: Int32Array,
    pieces: string[],
    promptStart: number,
    last: boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    const state = this.#state
    if (state.session === null) return
    const observed = last ? state.effects?.observes : undefined
    const attention = observed && toyAttention(state, promptStart, observed.windowTokens ?? 0)
    const kv = readToyRows(state, this.numTokens)
    const start = this.numTokens - tokens.length
    const plan = await state.session.retain({
      tokens,
      pieces,
      start,
      last,
      kv,
      ...(attention && { attention }),
      ...(signal && { signal }),
    })
    evictRows(state, plan.evict ?? [])
    if (plan.keep) keepRows(state, plan.keep, this.numTokens)
  }

  #pieces(tokens: ArrayLike<number>): string[] {
    return Array.from(tokens, (token) => this.#text.decode(Uint8Array.of(token), { stream: true }))
  }

  #check(tokens: ArrayLike<number>): void {
    if (this.#disposed)
      throw new DisposedError({ parameter: 'sequence', expected: 'one in use', got: `${this.id}, disposed` })
    const { contextTokens } = this.#shared.profile
    for (const token of Array.from(tokens)) checkInteger('token', token, 0, vocabSize - 1)
    if (this.numTokens + tokens.length <= contextTokens) return
    const got = this.numTokens + tokens.length
    throw new OptionError({ parameter: 'tokens', expected: `at most ${contextTokens} in a sequence`, got })
  }
}
