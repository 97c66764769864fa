import {
  droppedSpans,
  type LayerShape,
  type PolicyCounts,
  type PolicySession,
  type PrefillView,
  type RetainPlan,
  runsOfIndices,
  type Selection,
  type SequenceContext,
  type StepView,
  type TokenView,
} from '@kvasir/core'
import { type BlockBudget, chooseBlocks } from './block-choice.ts'
import { BlockIndex, type BlockSummary } from './block-index.ts'
import { indicesOutside } from './rows-outside.ts'
import { StepCounter } from './step-counter.ts'

/** One sequence whose blocks are chosen by their vectors. A block is indexed as soon as it is full. */
export class BlockSession implements PolicySession {
  readonly #layers: readonly LayerShape[]
  readonly #budget: BlockBudget
  readonly #index: BlockIndex
  readonly #counter = new StepCounter()

  private constructor(layers: readonly LayerShape[], budget: BlockBudget, index: BlockIndex) {
    this.#layers = layers
    this.#budget = budget
    this.#index = index
  }

  static open({ profile }: SequenceContext, budget: BlockBudget, summary: BlockSummary): BlockSession {
    const { layers } = profile.shape
    return new BlockSession(layers, budget, new BlockIndex(layers, budget.blockTokens, summary))
  }

  async retain({ kv }: PrefillView): Promise<RetainPlan> {
    await this.#index.extend(kv, kv.numTokens)
    return {}
  }

  async append({ kv }: TokenView): Promise<void> {
    await this.#index.extend(kv, kv.numTokens)
  }

  select(step: StepView): Selection {
    const rows = chooseRows(this.#index, this.#layers, step, this.#budget)
    return this.#counter.count(step, selectionOf(rows, step, this.#budget), this.#layers)
  }

  fork({ profile }: SequenceContext): BlockSession {
    return new BlockSession(profile.shape.layers, this.#budget, this.#index.clone())
  }

  rewind(numTokens: number): void {
    this.#index.truncate(numTokens)
  }

  counts(): PolicyCounts {
    return { ...this.#counter.counts(), indexBytes: this.#index.bytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What each KV head of the step's layer reads: everything while the budget does, else the best blocks of the index. */
export function chooseRows(
  index: BlockIndex,
  layers: readonly LayerShape[],
  { layer, kv, queries, numTokens }: StepView,
  budget: BlockBudget,
): Int32Array[] {
  const { numHeads, numKvHeads, headDim } = layers[layer as number]
  const group = (numHeads / numKvHeads) * headDim
  const [worth, scratch] = [new Float32Array(index.numBlocks), new Float32Array(index.numBlocks)]
  return Array.from({ length: numKvHeads }, (_, kvHead) => {
    const dropped = droppedSpans(kv, layer as number, kvHead)
    if (numTokens <= budget.budgetTokens) return indicesOutside(dropped, 0, numTokens)
    const own = (queries as Float32Array).subarray(kvHead * group, (kvHead + 1) * group)
    index.judge(layer as number, kvHead, own, worth, scratch)
    return chooseBlocks(worth, index.numBlocks, numTokens, budget, dropped)
  })
}

/** The selection of those rows. */
export function selectionOf(rows: readonly Int32Array[], { numTokens }: StepView, budget: BlockBudget): Selection {
  return numTokens <= budget.budgetTokens ? { kind: 'all' } : { kind: 'runs', runs: runsOfIndices(rows) }
}
