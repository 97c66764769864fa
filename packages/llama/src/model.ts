import {
  type CachePolicy,
  checkKeys,
  type EngineProfile,
  type GuardedSession,
  type ObservedAttention,
  OptionError,
  openGuarded,
  privateScope,
  type Scope,
} from '@kvasir/core'
import type { TierCounts, TierNote } from '@kvasir/kernels'
import type { ChatTemplate } from './chat.ts'
import type { LlamaConfig } from './config.ts'
import { type DecodeStep, decode } from './decode.ts'
import type { EngineParts } from './engine-parts.ts'
import { checkObserved, type ObservedPrompt, openObserved } from './observed-prompt.ts'
import type { ResolvedOptions } from './options.ts'
import { askRetain, type PrefillRequest, type PrefillRun, prefill } from './prefill.ts'
import { publishRows } from './publish.ts'
import { Sequence, type SequenceHost } from './sequence.ts'
import { newState, type SequenceState, shareRows } from './sequence-state.ts'
import { TextStream } from './text-stream.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'
import { Turnstile } from './turnstile.ts'
import { readForgotten } from './watched-rows.ts'
import { disposeWeights, type LlamaWeights } from './weights.ts'

export interface SequenceOptions {
  /** @default the full cache */
  readonly policy?: CachePolicy
  /** Who may share exact prefixes with this sequence. @default nobody */
  readonly scope?: Scope
  /** Attention of prompts to watch for policies that a fork starts later; what `policy` observes is watched anyway. @default nothing */
  readonly observe?: ObservedAttention
}

interface LoadedModel {
  readonly parts: EngineParts
  readonly weights: LlamaWeights
  readonly tokenizer: Tokenizer | null
  readonly chatTemplate: ChatTemplate
  readonly resolved: ResolvedOptions
  readonly ownsKernels: boolean
}

/** A loaded model: makes sequences, and runs them one step or one batch at a time. */
export class LlamaModel implements AsyncDisposable {
  readonly #loaded: LoadedModel
  readonly #host: SequenceHost
  #sequences = 0

  constructor(loaded: LoadedModel) {
    this.#loaded = loaded
    const turnstile = new Turnstile()
    this.#host = {
      parts: loaded.parts,
      turnstile,
      fork: this.#fork.bind(this),
      publishAtEnd: this.#publishAtEnd.bind(this),
    }
  }

  get config(): LlamaConfig {
    return this.#loaded.parts.config
  }

  /** What policies may ask of this engine. */
  get profile(): EngineProfile {
    return this.#loaded.parts.profile
  }

  /** null for models without text, which take ids only. */
  get tokenizer(): Tokenizer | null {
    return this.#loaded.tokenizer
  }

  /** Its `source` is null where the file has none. */
  get chatTemplate(): ChatTemplate {
    return this.#loaded.chatTemplate
  }

  /** Most tokens of a sequence. */
  get contextTokens(): number {
    return this.#loaded.parts.contextTokens
  }

  /** What the lower tier of KV rows holds and has moved, all sequences together; null without one. */
  tierCounts(): TierCounts | null {
    return this.#loaded.parts.arena.counts()
  }

  /** What was asked of the tier and not given, such as direct access to its file. */
  get tierNotes(): readonly TierNote[] {
    return this.#loaded.parts.arena.notes
  }

  /** An empty sequence. Throws CapabilityError where the policy needs what this engine lacks. */
  createSequence(options: SequenceOptions = {}): Sequence {
    checkKeys('SequenceOptions', options, ['policy', 'scope', 'observe'])
    const id = `sequence-${++this.#sequences}`
    const observed = openObserved([options.observe, options.policy?.effects.observes])
    const state = this.#newState(id, options.scope ?? privateScope(), options.policy, observed)
    return new Sequence(this.#host, state, options.policy)
  }

  /**
   * Appends the tokens of several sequences densely, their rows mixed in chunks, and returns the logits after the last
   * token of each. Bit for bit what `sequence.prefill` gives for each alone.
   */
  prefill(requests: readonly PrefillRequest[], options: PrefillRun = {}): Promise<Float32Array[]> {
    checkDifferent('requests', requests, Number.POSITIVE_INFINITY)
    return this.#host.turnstile.pass(() => prefill(this.#loaded.parts, requests, options))
  }

  /**
   * Appends one token to each of several sequences in one pass over the weights and returns the logits that follow
   * each. Bit for bit what `sequence.decode` gives for each alone.
   */
  decode(steps: readonly DecodeStep[], options: { readonly signal?: AbortSignal } = {}): Promise<Float32Array[]> {
    checkDifferent('steps', steps, this.#loaded.resolved.maxBatch)
    return this.#host.turnstile.pass(() => decode(this.#loaded.parts, steps, options.signal))
  }

  /** Waits for the calls under way, then frees weights, KV and (if it made them) kernels. */
  async dispose(): Promise<void> {
    await this.#host.turnstile.idle()
    const { parts, weights, ownsKernels } = this.#loaded
    parts.programs.dispose()
    parts.lists.dispose()
    parts.arena.dispose()
    disposeWeights(weights)
    if (ownsKernels) await parts.kernels.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #newState(
    id: string,
    scope: Scope,
    policy: CachePolicy | undefined,
    observed: ObservedPrompt | null,
    resumed?: GuardedSession,
  ): SequenceState {
    const { parts, tokenizer, resolved } = this.#loaded
    const { profile } = parts
    const session =
      resumed ?? (policy ? openGuarded(policy, { id, profile, scope }, { onQuarantine: resolved.onQuarantine }) : null)
    const text = tokenizer ? new TextStream(tokenizer) : null
    return newState({ id, scope, session, text, observed, policy: policy ?? null })
  }

  async #publishAtEnd(state: SequenceState): Promise<void> {
    const { parts, resolved } = this.#loaded
    try {
      await publishRows(parts, state)
    } catch (error) {
      resolved.onQuarantine({ policy: state.policyName, sequence: state.id, hook: 'publish', error })
    }
  }

  async #fork(
    from: SequenceState,
    current: CachePolicy | undefined,
    fresh: CachePolicy | undefined,
  ): Promise<Sequence> {
    const { parts } = this.#loaded
    const id = `sequence-${++this.#sequences}`
    const policy = fresh ?? current
    const resumed = fresh ? undefined : from.session?.fork({ id, profile: parts.profile, scope: from.scope })
    if (fresh && from.tokens.length > 0) checkObserved(fresh.name, fresh.effects.observes, from.observed)
    const observed = from.tokens.length > 0 ? from.observed : openObserved([policy?.effects.observes])
    const state = this.#newState(id, from.scope, policy, observed, resumed)
    shareRows(from, state, parts.pool)
    if (resumed) state.text?.resume(state.tokens)
    if (!resumed && state.tokens.length > 0) {
      await readForgotten(parts, state, parts.chunkTokens)
      await askRetain(parts, state, Int32Array.from(state.tokens), true)
    }
    return new Sequence(this.#host, state, policy)
  }
}

function checkDifferent(parameter: string, parts: readonly { readonly state: SequenceState }[], most: number): void {
  if (parts.length <= most && new Set(parts.map(({ state }) => state)).size === parts.length) return
  throw new OptionError({ parameter, expected: `at most ${most} different sequences`, got: `${parts.length} entries` })
}
