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
import { TokenSegmenter } from '@kvasir/segment'
import { SemanticIndex } from '@kvasir/semantic'
import type { ResolvedSentenceKv } from './options.ts'

/** One sequence: its sentence boundaries and its index. Closed sentences are indexed, the open one is always visible. */
export class SentenceKvSession implements PolicySession {
  readonly #options: ResolvedSentenceKv
  readonly #segmenter: TokenSegmenter
  readonly #index: SemanticIndex
  readonly #selector: CountingSelector
  readonly #selection: Selection

  private constructor(
    profile: EngineProfile,
    options: ResolvedSentenceKv,
    segmenter: TokenSegmenter,
    index: SemanticIndex,
  ) {
    this.#options = options
    this.#segmenter = segmenter
    this.#index = index
    this.#selector = index.selector(profile, options.rule)
    this.#selection = { kind: 'native', selector: this.#selector }
  }

  static open(profile: EngineProfile, options: ResolvedSentenceKv): SentenceKvSession {
    const segmenter = new TokenSegmenter({ minTokens: options.minSegmentTokens, maxTokens: options.maxSegmentTokens })
    return new SentenceKvSession(profile, options, segmenter, SemanticIndex.open(profile, options.codeBits))
  }

  async retain({ pieces, kv }: PrefillView): Promise<RetainPlan> {
    await this.#index.extend(
      kv,
      pieces.flatMap((piece) => this.#segmenter.push(piece)),
    )
    return {}
  }

  async append({ piece, kv }: TokenView): Promise<void> {
    await this.#index.extend(kv, this.#segmenter.push(piece))
  }

  select(): Selection {
    return this.#selection
  }

  fork({ profile }: SequenceContext): SentenceKvSession {
    return new SentenceKvSession(profile, this.#options, this.#segmenter.clone(), this.#index.clone())
  }

  rewind(numTokens: number): void {
    this.#segmenter.truncate(numTokens)
    // Going back can reopen a sentence that had just been closed.
    this.#index.truncate(this.#segmenter.open.start)
  }

  counts(): PolicyCounts {
    const { calls, attendedTokens, pooledTokens } = this.#selector.counts()
    return { steps: calls, attendedTokens, pooledTokens, indexBytes: this.#index.bytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#index.dispose()
  }
}
