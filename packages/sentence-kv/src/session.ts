import type {
  EngineProfile,
  PolicyCounts,
  PolicySession,
  PrefillView,
  RetainPlan,
  Selection,
  SequenceContext,
  TokenView,
} from '@kvasir/core'
import type { CountingSelector } from '@kvasir/kernels'
import { SemanticIndex } from '@kvasir/semantic'
import type { ResolvedSentenceKv } from './options.ts'
import { SentenceBounds } from './sentence-bounds.ts'

/** One sequence: its sentence bounds and its index. Closed sentences are indexed, the open one is always visible. */
export class SentenceKvSession implements PolicySession {
  readonly #options: ResolvedSentenceKv
  readonly #numLayers: number
  readonly #bounds: SentenceBounds
  readonly #index: SemanticIndex
  readonly #selector: CountingSelector
  readonly #selection: Selection

  private constructor(
    profile: EngineProfile,
    options: ResolvedSentenceKv,
    bounds: SentenceBounds,
    index: SemanticIndex,
  ) {
    this.#options = options
    this.#numLayers = profile.shape.layers.length
    this.#bounds = bounds
    this.#index = index
    this.#selector = index.selector(profile, options.rule)
    this.#selection = { kind: 'native', selector: this.#selector }
  }

  static open(profile: EngineProfile, options: ResolvedSentenceKv): SentenceKvSession {
    const bounds = SentenceBounds.open(options.minSegmentTokens, options.maxSegmentTokens)
    return new SentenceKvSession(profile, options, bounds, SemanticIndex.open(profile, options.codeBits))
  }

  async retain({ pieces, kv }: PrefillView): Promise<RetainPlan> {
    const ends = pieces.flatMap((piece) => this.#bounds.push(piece))
    await this.#index.extend(kv, ends)
    return {}
  }

  async append({ piece, kv }: TokenView): Promise<void> {
    await this.#index.extend(kv, this.#bounds.push(piece))
  }

  select(): Selection {
    return this.#selection
  }

  fork({ profile }: SequenceContext): SentenceKvSession {
    return new SentenceKvSession(profile, this.#options, this.#bounds.clone(), this.#index.clone())
  }

  rewind(numTokens: number): void {
    this.#bounds.truncate(numTokens)
    this.#index.truncate(this.#bounds.closedTokens)
  }

  counts(): PolicyCounts {
    const { calls, attendedTokens, pooledTokens } = this.#selector.counts()
    return { steps: calls / this.#numLayers, attendedTokens, pooledTokens, indexBytes: this.#index.bytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#index.dispose()
  }
}
