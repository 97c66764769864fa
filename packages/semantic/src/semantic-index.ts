import { CapabilityError, checkKeys, type EngineProfile, type KvReader, type LayerShape } from '@kvasir/core'
import {
  type CodeBits,
  type CountingSelector,
  kernelsOf,
  nativeKvOf,
  type SegmentBasis,
  type SegmentIndex,
  type VectorBits,
} from '@kvasir/kernels'
import type { SelectionRule } from './selection-rule.ts'

/** How much an index keeps. */
export interface IndexOptions {
  /** Bits a channel of a token's residual code, with principal channels on average; 0: tokens of a segment are not told apart. @default 2 */
  readonly codeBits?: CodeBits | undefined
  /** Bits a channel of a segment's mean; a deviation, of basis 'channels', takes half of them. @default 8 */
  readonly vectorBits?: VectorBits | undefined
  /**
   * Channels that codes are made in: the principal ones of the first 256 tokens of a layer and KV head, with choices by exact
   * scores before, or those of the keys, which a prefilter needs. @default 'principal', 'channels' with codeBits 0
   */
  readonly basis?: SegmentBasis | undefined
}

/**
 * Segment vectors and token codes of one sequence on the engine's kernels: a mean key and a code a token for
 * each layer and KV head. It covers closed segments only; `select` treats later tokens as always visible.
 */
export class SemanticIndex {
  readonly #index: SegmentIndex

  private constructor(index: SegmentIndex) {
    this.#index = index
  }

  /**
   * An empty index for sequences of this engine. Throws CapabilityError where its kernels or layers do not suit,
   * OptionError for an unknown option.
   */
  static open(profile: EngineProfile, options: IndexOptions = {}): SemanticIndex {
    checkKeys('IndexOptions', options, ['codeBits', 'vectorBits', 'basis'])
    const { layers } = profile.shape
    const { numKvHeads, headDim } = uniformLayer(profile)
    return new SemanticIndex(
      kernelsOf(profile).createSegmentIndex({ ...options, numLayers: layers.length, numKvHeads, headDim }),
    )
  }

  /** Tokens that closed segments cover. */
  get numTokens(): number {
    return this.#index.numTokens
  }

  get numSegments(): number {
    return this.#index.numSegments
  }

  /** Memory of vectors and codes, all layers and KV heads. */
  get bytes(): number {
    return this.#index.bytes
  }

  /** Adds the segments up to `ends`, which ascend; the first starts at numTokens. The KV rows of all segments must stand. */
  async extend(kv: KvReader, ends: readonly number[]): Promise<void> {
    if (ends.length > 0) await this.#index.extend(nativeKvOf(kv), Int32Array.from(ends))
  }

  /**
   * A selector over this index, alive as long as it; `continues`: the one of the sequence that this was copied from,
   * whose running queries and standing choices go on.
   */
  selector(profile: EngineProfile, rule: SelectionRule, continues?: CountingSelector): CountingSelector {
    return kernelsOf(profile).createSegmentSelector({ ...rule, index: this.#index, continues })
  }

  /** Forgets segments that end after numTokens. */
  truncate(numTokens: number): void {
    this.#index.truncate(numTokens)
  }

  clone(): SemanticIndex {
    return new SemanticIndex(this.#index.clone())
  }

  dispose(): void {
    this.#index.dispose()
  }
}

/** The shape of every layer. Throws CapabilityError unless all layers are alike and see the whole context. */
export function uniformLayer({ name, shape }: EngineProfile): LayerShape {
  const [first, ...rest] = shape.layers
  const odd = rest.findIndex((layer) => layer.numKvHeads !== first?.numKvHeads || layer.headDim !== first.headDim)
  const windowed = shape.layers.findIndex(({ windowTokens }) => windowTokens !== undefined)
  if (first && odd < 0 && windowed < 0) return first
  throw new CapabilityError({
    parameter: `${name}.shape`,
    expected: 'layers of one shape that see the whole context',
    got: odd >= 0 ? `layer ${odd + 1} of another shape` : `layer ${windowed} with a sliding window`,
    remedy: 'Use a policy that chooses by position, such as the window of @kvasir/baselines.',
  })
}
