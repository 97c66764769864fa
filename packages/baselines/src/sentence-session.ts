import type {
  LayerShape,
  PolicyCounts,
  PolicySession,
  PrefillView,
  RetainPlan,
  Selection,
  SequenceContext,
  StepView,
  TokenView,
} from '@kvasir/core'
import type { SentenceList } from './sentence-list.ts'
import { StepCounter } from './step-counter.ts'

/** Chooses what a layer of a step reads; made anew for each sequence. */
export interface SentenceChooser {
  choose(step: StepView, shape: LayerShape, sentences: SentenceList): Selection
  /** Rows weighed so far only to choose among them. */
  readonly pooledTokens: number
}

/** One sequence of a policy that chooses sentences, at each layer: it keeps the list of them. */
export class SentenceSession implements PolicySession {
  readonly #layers: readonly LayerShape[]
  readonly #sentences: SentenceList
  readonly #open: () => SentenceChooser
  readonly #chooser: SentenceChooser
  readonly #counter = new StepCounter()

  constructor({ profile }: SequenceContext, sentences: SentenceList, open: () => SentenceChooser) {
    this.#layers = profile.shape.layers
    this.#sentences = sentences
    this.#open = open
    this.#chooser = open()
  }

  async retain({ pieces }: PrefillView): Promise<RetainPlan> {
    for (const piece of pieces) this.#sentences.push(piece)
    return {}
  }

  append({ piece }: TokenView): void {
    this.#sentences.push(piece)
  }

  select(step: StepView): Selection {
    const selection = this.#chooser.choose(step, this.#layers[step.layer as number], this.#sentences)
    return this.#counter.count(step, selection, this.#layers)
  }

  fork(sequence: SequenceContext): SentenceSession {
    return new SentenceSession(sequence, this.#sentences.clone(), this.#open)
  }

  rewind(numTokens: number): void {
    this.#sentences.truncate(numTokens)
  }

  counts(): PolicyCounts {
    return { ...this.#counter.counts(), pooledTokens: this.#chooser.pooledTokens }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
