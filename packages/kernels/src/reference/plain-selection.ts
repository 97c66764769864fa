import { type RunList, runsOfIndices } from '@kvasir/core'
import { KernelError } from '../errors.ts'
import { type IndexContents, KernelSegmentIndex } from '../kernel-segment-index.ts'
import { KernelSelector, resolveExactOptions, resolveSegmentOptions } from '../kernel-selector.ts'
import type { PageArena } from '../page-arena.ts'
import { ownResource } from '../resource.ts'
import type { ExactSelectorOptions, SegmentIndexOptions, SegmentSelectorOptions, SequenceKv } from '../selection.ts'
import type { SelectorCounts } from '../selector-counts.ts'
import type { PlainArena } from './plain-arena.ts'
import type { PlainKeptRows } from './plain-kept-rows.ts'
import type { ReferenceKernels } from './reference-kernels.ts'
import { type BudgetRule, chooseTokens } from './selection/choose-tokens.ts'
import { SegmentCodes } from './selection/segment-codes.ts'

export class PlainSegmentIndex extends KernelSegmentIndex {
  declare readonly owner: ReferenceKernels
  codes: SegmentCodes

  constructor(owner: ReferenceKernels, options: SegmentIndexOptions, codes?: SegmentCodes) {
    super(owner, options)
    const { numLayers, numKvHeads, headDim, codeBits } = this
    this.codes = codes ?? new SegmentCodes({ numLayers, numKvHeads, headDim, codeBits })
  }

  get numSegments(): number {
    return this.codes.ends.length
  }

  get numTokens(): number {
    return this.codes.numTokens
  }

  get bytes(): number {
    return this.codes.bytes
  }

  protected add(arena: PageArena, pages: Int32Array, ends: Int32Array): Promise<void> {
    const ownPages = pages.slice()
    const ownEnds = ends.slice()
    return this.owner.enqueue(async () => {
      const first = ownEnds[0]
      if (first !== undefined && first <= this.numTokens) {
        throw new KernelError({ parameter: 'ends[0]', expected: `more than ${this.numTokens}`, got: first })
      }
      const readKeys = (layer: number, kvHead: number, start: number, end: number) =>
        range(start, end).map((index) => (arena as PlainArena).row('keys', layer, kvHead, ownPages, index))
      for (const end of ownEnds) this.codes.add(readKeys, end)
    })
  }

  protected cut(numTokens: number): void {
    this.codes.truncate(numTokens)
  }

  protected copy(): PlainSegmentIndex {
    const { numLayers, numKvHeads, headDim, codeBits } = this
    return new PlainSegmentIndex(this.owner, { numLayers, numKvHeads, headDim, codeBits }, this.codes.clone())
  }

  protected contents(layer: number, kvHead: number): IndexContents {
    return this.codes.read(layer, kvHead)
  }

  protected free(): void {
    this.codes.truncate(0)
  }
}

export interface SelectInput {
  readonly kv: SequenceKv
  readonly layer: number
  /** [numHeads][headDim], rotated */
  readonly q: Float32Array
  readonly numHeads: number
  readonly scale: number
  /** KV rows held, the current token's included. */
  readonly numTokens: number
  /** Candidates: attention reads no other row but the current one, whatever is chosen. */
  readonly kept: PlainKeptRows | undefined
}

/** Chooses by the rules of `chooseTokens`, and counts. */
export abstract class PlainSelector extends KernelSelector {
  declare readonly index: PlainSegmentIndex | undefined
  protected abstract readonly rule: BudgetRule
  /** Infinity: all candidates are scored exactly. */
  protected abstract readonly poolFactor: number
  #calls = 0
  #attendedTokens = 0
  #pooledTokens = 0

  select({ kv, layer, q, numHeads, scale, numTokens }: SelectInput): RunList {
    const arena = kv.arena as PlainArena
    const { numKvHeads, headDim } = arena
    const group = numHeads / numKvHeads
    const queryOf = (head: number) => q.subarray(head * headDim, (head + 1) * headDim)
    const choice = chooseTokens({
      ...this.rule,
      numTokens,
      numKvHeads,
      group,
      indexedTokens: this.index?.numTokens ?? numTokens,
      poolFactor: this.poolFactor,
      exactScores: (head, tokens) =>
        tokens.map((token) => {
          const key = arena.row('keys', layer, Math.floor(head / group), kv.pages, token)
          return scale * queryOf(head).reduce((sum, x, i) => sum + x * (key[i] as number), 0)
        }),
      estimatedScores: (head, start, end) =>
        (this.index as PlainSegmentIndex).codes.estimate(
          layer,
          Math.floor(head / group),
          queryOf(head),
          scale,
          start,
          end,
        ),
    })
    this.#calls++
    this.#pooledTokens += choice.pooledTokens
    for (const tokens of choice.tokens) this.#attendedTokens += tokens.length
    return runsOfIndices(choice.tokens)
  }

  counts(): SelectorCounts {
    return { calls: this.#calls, attendedTokens: this.#attendedTokens, pooledTokens: this.#pooledTokens }
  }

  protected free(): void {}
}

export class PlainSegmentSelector extends PlainSelector {
  readonly kind = 'segment-codes'
  protected readonly rule: BudgetRule
  protected readonly poolFactor: number

  constructor(owner: ReferenceKernels, options: SegmentSelectorOptions) {
    const { poolFactor, ...rule } = resolveSegmentOptions(options)
    super(owner, ownResource('index', options.index, PlainSegmentIndex, owner))
    this.rule = rule
    this.poolFactor = poolFactor
  }
}

export class PlainExactSelector extends PlainSelector {
  readonly kind = 'exact-scores'
  protected readonly rule: BudgetRule
  protected readonly poolFactor = Infinity

  constructor(owner: ReferenceKernels, options: ExactSelectorOptions) {
    const rule = resolveExactOptions(options)
    super(owner)
    this.rule = rule
  }
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i)
}
