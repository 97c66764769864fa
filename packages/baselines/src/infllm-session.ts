import {
  bestIndices,
  type LayerShape,
  type PolicyCounts,
  type PolicySession,
  type PrefillView,
  type RetainPlan,
  type Selection,
  type SequenceContext,
  type StepView,
  type TokenView,
} from '@kvasir/core'
import type { BlockBudget } from './block-choice.ts'
import { BlockIndex, type RowChoice } from './block-index.ts'
import { chooseRows, selectionOf } from './block-session.ts'
import { meanKey } from './mean-key.ts'
import { attentionOf } from './prompt-attention.ts'
import { ReceivedAttention } from './received-attention.ts'
import { StepCounter } from './step-counter.ts'

export interface InfLlmRule extends BlockBudget {
  readonly representativeTokens: number
}

/** A prompt that ended: what is needed to go back there. */
interface Turn {
  readonly end: number
  /** Blocks that were indexed before it. */
  readonly startBlocks: number
  /** Attention that rows got by then. */
  readonly received: ReceivedAttention
}

/** One sequence. Blocks are indexed once the local window has left them, by the attention that their rows got until then. */
export class InfLlmSession implements PolicySession {
  readonly #layers: readonly LayerShape[]
  readonly #rule: InfLlmRule
  readonly #index: BlockIndex
  readonly #counter = new StepCounter()
  #received: ReceivedAttention
  #turns: readonly Turn[]

  private constructor(
    layers: readonly LayerShape[],
    rule: InfLlmRule,
    index: BlockIndex,
    received: ReceivedAttention,
    turns: readonly Turn[],
  ) {
    this.#layers = layers
    this.#rule = rule
    this.#index = index
    this.#received = received
    this.#turns = turns
  }

  static open({ profile }: SequenceContext, rule: InfLlmRule): InfLlmSession {
    const { layers } = profile.shape
    return new InfLlmSession(
      layers,
      rule,
      new BlockIndex(layers, rule.blockTokens, meanKey),
      new ReceivedAttention(layers),
      [],
    )
  }

  async retain(view: PrefillView): Promise<RetainPlan> {
    if (!view.last) return {}
    const end = view.kv.numTokens
    const startBlocks = this.#index.numBlocks
    for (let layer = 0; layer < this.#layers.length; layer++) {
      this.#received.set(layer, await attentionOf(view).totalMass(layer), startBlocks * this.#rule.blockTokens)
    }
    await this.#index.extend(view.kv, end - this.#rule.recentTokens, this.#representatives(end))
    this.#turns = [...this.#turns, { end, startBlocks, received: this.#received.clone() }]
    return {}
  }

  async append({ index, kv }: TokenView): Promise<void> {
    await this.#index.extend(kv, index + 1 - this.#rule.recentTokens, this.#representatives(index + 1))
  }

  select(step: StepView): Selection {
    const rows = chooseRows(this.#index, this.#layers, step, this.#rule)
    const open = this.#index.numBlocks * this.#rule.blockTokens
    for (const [kvHead, read] of rows.entries()) {
      this.#received.add(step.layer as number, kvHead, read, step.weights!(kvHead, read), open)
    }
    return this.#counter.count(step, selectionOf(rows, step, this.#rule), this.#layers)
  }

  fork({ profile }: SequenceContext): InfLlmSession {
    const { layers } = profile.shape
    return new InfLlmSession(layers, this.#rule, this.#index.clone(), this.#received.clone(), this.#turns)
  }

  /** At the end of a prompt exactly as it was; further on, attention that rows got from tokens that are gone still counts. */
  rewind(numTokens: number): void {
    const undone = this.#turns.find(({ end }) => end > numTokens)
    if (undone) {
      this.#index.truncate(undone.startBlocks * this.#rule.blockTokens)
      this.#turns = this.#turns.filter(({ end }) => end <= numTokens)
    }
    const whole = this.#turns.find(({ end }) => end === numTokens)
    if (whole) this.#received = whole.received.clone()
    this.#index.truncate(Math.max(0, numTokens - this.#rule.recentTokens))
  }

  counts(): PolicyCounts {
    return { ...this.#counter.counts(), indexBytes: this.#index.bytes + this.#received.bytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The held rows of a block that got the most attention from each row that came after them, in the mean. */
  #representatives(numTokens: number): RowChoice {
    return (layer, kvHead, held) => {
      const means = Float64Array.from(held, (row) => this.#received.of(layer, kvHead, row) / (numTokens - row))
      return bestIndices(held, means, this.#rule.representativeTokens)
    }
  }
}
