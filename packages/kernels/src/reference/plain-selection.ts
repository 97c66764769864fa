import { type RunList, runsOfIndices } from '@kvasir/core'
import { KernelError } from '../errors.ts'
import { KernelSegmentIndex } from '../kernel-segment-index.ts'
import {
  type EstimateRule,
  KernelSelector,
  resolveEstimates,
  resolveExactOptions,
  resolveSegmentOptions,
} from '../kernel-selector.ts'
import type { PageArena } from '../page-arena.ts'
import { ownResource } from '../resource.ts'
import type {
  ExactSelectorOptions,
  SegmentIndexContents,
  SegmentIndexOptions,
  SegmentSelectorOptions,
  SequenceKv,
} from '../selection.ts'
import type { SelectorCounts } from '../selector-counts.ts'
import type { PlainArena } from './plain-arena.ts'
import type { PlainKeptRows } from './plain-kept-rows.ts'
import type { ReferenceKernels } from './reference-kernels.ts'
import { type BudgetRule, type Choice, chooseTokens } from './selection/choose-tokens.ts'
import { SegmentCodes } from './selection/segment-codes.ts'
import { RunningQuery, StandingChoice } from './selection/selector-state.ts'

export class PlainSegmentIndex extends KernelSegmentIndex {
  declare readonly owner: ReferenceKernels
  codes: SegmentCodes

  constructor(owner: ReferenceKernels, options: SegmentIndexOptions, codes?: SegmentCodes) {
    super(owner, options)
    this.codes = codes ?? new SegmentCodes(this.shape)
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
    return new PlainSegmentIndex(this.owner, this.shape, this.codes.clone())
  }

  protected contents(layer: number, kvHead: number): SegmentIndexContents {
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
  protected abstract readonly rule: BudgetRule & EstimateRule
  readonly #queries = new Map<number, RunningQuery>()
  readonly #choices = new Map<number, StandingChoice>()
  #counts: SelectorCounts = { calls: 0, attendedTokens: 0, pooledTokens: 0, certifiedHeads: 0, reusedCalls: 0, ms: 0 }

  select(input: SelectInput): RunList {
    const startMs = performance.now()
    const { layer, q, numTokens } = input
    const standing = entryOf(this.#choices, layer, () => new StandingChoice())
    const running = entryOf(this.#queries, layer, () => new RunningQuery())
    const numSegments = this.index?.numSegments ?? 0
    const query = this.rule.query === 'current' ? q : running.next(q, numTokens, numSegments, this.rule)
    const reused = standing.answer(q, numTokens, this.rule)
    const choice = reused ?? this.#choose(input, query)
    if (!reused) standing.stand(choice, q, numTokens)

    const tokens = choice.tokens.map((chosen, kvHead) => {
      const all = [...range(0, choice.first), ...chosen, ...range(choice.end, numTokens)]
      return all.filter((token) => keeps(input, kvHead, token))
    })
    const { calls, attendedTokens, pooledTokens, certifiedHeads, reusedCalls, ms } = this.#counts
    this.#counts = {
      calls: calls + 1,
      attendedTokens: attendedTokens + tokens.reduce((sum, row) => sum + row.length, 0),
      pooledTokens: pooledTokens + (reused ? 0 : choice.pooledTokens),
      certifiedHeads: certifiedHeads + (reused ? 0 : choice.certifiedHeads),
      reusedCalls: reusedCalls + (reused ? 1 : 0),
      ms: ms + performance.now() - startMs,
    }
    return runsOfIndices(tokens)
  }

  counts(): SelectorCounts {
    return this.#counts
  }

  /** Goes on with what another selector has kept between steps. */
  protected takeOver(other: PlainSelector): void {
    other.assertQuiet()
    if (this.rule.query !== 'current') for (const [layer, q] of other.#queries) this.#queries.set(layer, q.clone())
    if (this.rule.rerankSteps > 1) for (const [layer, c] of other.#choices) this.#choices.set(layer, c.clone())
  }

  protected free(): void {}

  #choose(input: SelectInput, estimateQuery: Float32Array): Choice {
    const { kv, layer, q, numHeads, scale, numTokens } = input
    const arena = kv.arena as PlainArena
    const { numKvHeads, headDim } = arena
    const group = numHeads / numKvHeads
    const of = (queries: Float32Array, head: number) => queries.subarray(head * headDim, (head + 1) * headDim)
    const codesOf = (head: number) => (this.index as PlainSegmentIndex).codes.head(layer, Math.floor(head / group))
    const { ends, pending } = this.index?.codes ?? { ends: null, pending: false }
    return chooseTokens({
      ...this.rule,
      numTokens,
      numKvHeads,
      group,
      ends,
      pending,
      keeps: (kvHead, token) => keeps(input, kvHead, token),
      exactScores: (head, tokens, estimated) =>
        tokens.map((token) => {
          const key = arena.row('keys', layer, Math.floor(head / group), kv.pages, token)
          return scale * of(estimated ? estimateQuery : q, head).reduce((sum, x, i) => sum + x * (key[i] as number), 0)
        }),
      estimatedScores: (head, tokens) => {
        const scores = codesOf(head).estimate(of(estimateQuery, head), scale)
        return tokens.map((token) => scores[token] as number)
      },
      scoreBounds: (head, tokens) => {
        const bounds = codesOf(head).bounds(of(q, head), scale)
        return tokens.map((token) => bounds[token] as number)
      },
      densities: (head) => codesOf(head).densities!(of(estimateQuery, head), scale),
    })
  }
}

export class PlainSegmentSelector extends PlainSelector {
  readonly kind = 'segment-codes'
  protected readonly rule: BudgetRule & EstimateRule

  constructor(owner: ReferenceKernels, options: SegmentSelectorOptions) {
    const rule = resolveSegmentOptions(options)
    super(owner, ownResource('index', options.index, PlainSegmentIndex, owner))
    this.rule = rule
    const { continues } = options
    if (continues) this.takeOver(ownResource('continues', continues, PlainSegmentSelector, owner))
  }
}

export class PlainExactSelector extends PlainSelector {
  readonly kind = 'exact-scores'
  protected readonly rule: BudgetRule & EstimateRule

  constructor(owner: ReferenceKernels, options: ExactSelectorOptions) {
    const rule = resolveExactOptions(options)
    super(owner)
    this.rule = { ...rule, ...resolveEstimates({}) }
  }
}

/** The current token's row always stands. */
function keeps({ kept, layer, numTokens }: SelectInput, kvHead: number, token: number): boolean {
  return token === numTokens - 1 || (kept?.keeps(layer, kvHead, token) ?? true)
}

function entryOf<T>(map: Map<number, T>, key: number, make: () => T): T {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i)
}
