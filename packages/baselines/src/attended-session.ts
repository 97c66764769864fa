import {
  complementSpans,
  droppedSpans,
  type KvReader,
  type LayerShape,
  mergeSpans,
  type PolicyCounts,
  type PolicySession,
  type PrefillView,
  type RetainPlan,
  rowsOutside,
  runsOfIndices,
  type Selection,
  type SequenceContext,
  type Span,
  type StepView,
} from '@kvasir/core'
import { HeldRows } from './held-rows.ts'
import { StepCounter } from './step-counter.ts'

/** What rows are judged by, and which heads hold the same ones. */
export interface AttentionRule {
  readonly budgetTokens: number
  /** Last rows, which are never evicted; at least 1. */
  readonly recentTokens: number
  /** True: all heads of a layer hold the same rows. False: each KV head its own. */
  readonly sharedByLayer: boolean
  /** True: a row's attention adds up over the steps. False: that of the last step counts. */
  readonly accumulates: boolean
  /** [numHeads][numTokens]: the attention that a prompt's rows got in one layer. */
  promptMass(view: PrefillView, layer: number): Promise<Float32Array>
}

/** [layer][set] */
type Held = readonly (readonly HeldRows[])[]

/** What was held before a prompt and when it ended. */
interface Turn {
  readonly end: number
  readonly before: Held
  readonly after: Held
}

/** One sequence that evicts a row for each one that comes, by the attention that the rows got. What is evicted is gone. */
export class AttendedSession implements PolicySession {
  readonly #layers: readonly LayerShape[]
  readonly #rule: AttentionRule
  readonly #counter = new StepCounter()
  #turns: readonly Turn[]
  #held: Held

  private constructor(layers: readonly LayerShape[], rule: AttentionRule, held: Held, turns: readonly Turn[]) {
    this.#layers = layers
    this.#rule = rule
    this.#held = held
    this.#turns = turns
  }

  static open({ profile }: SequenceContext, rule: AttentionRule): AttendedSession {
    const { layers } = profile.shape
    const held = layers.map(({ numKvHeads }) =>
      Array.from({ length: rule.sharedByLayer ? 1 : numKvHeads }, () => new HeldRows(rule.budgetTokens + 1)),
    )
    return new AttendedSession(layers, rule, held, [])
  }

  async retain(view: PrefillView): Promise<RetainPlan> {
    if (!view.last) return {}
    const { kv } = view
    const before = cloneHeld(this.#held)
    for (const [layer, sets] of this.#held.entries()) {
      const mass = await this.#rule.promptMass(view, layer)
      for (const [set, held] of sets.entries()) {
        held.extend(kv.numTokens)
        held.drop(droppedByAll(kv, layer, ...this.#headsOf(layer, set)))
        this.#judgePrompt(held, mass, layer, ...this.#headsOf(layer, set))
        held.shrink(this.#rule.budgetTokens, kv.numTokens - this.#rule.recentTokens)
      }
    }
    this.#turns = [...this.#turns, { end: kv.numTokens, before, after: cloneHeld(this.#held) }]
    return {}
  }

  select(step: StepView): Selection {
    const layer = step.layer as number
    const rows = this.#held[layer].map((held, set) => {
      held.extend(step.numTokens)
      held.shrink(this.#rule.budgetTokens, step.numTokens - this.#rule.recentTokens)
      this.#judgeStep(held, step, ...this.#headsOf(layer, set))
      return held.rows
    })
    const { numKvHeads } = this.#layers[layer]
    const runs = runsOfIndices(this.#rule.sharedByLayer ? new Array(numKvHeads).fill(rows[0]) : rows)
    return this.#counter.count(step, { kind: 'runs', runs }, this.#layers)
  }

  fork({ profile }: SequenceContext): AttendedSession {
    return new AttendedSession(profile.shape.layers, this.#rule, cloneHeld(this.#held), this.#turns)
  }

  /** At the end of a prompt exactly as it was; further on, rows that were evicted since stay so. */
  rewind(numTokens: number): void {
    const undone = this.#turns.findIndex(({ end }) => end > numTokens)
    const whole = undone < 0 ? this.#turns.find(({ end }) => end === numTokens) : undefined
    if (whole) this.#held = cloneHeld(whole.after)
    if (undone >= 0) {
      this.#held = cloneHeld(this.#turns[undone].before)
      this.#turns = this.#turns.slice(0, undone)
    }
    for (const held of this.#held.flat()) held.truncate(numTokens)
  }

  counts(): PolicyCounts {
    const sharing = (layer: number) => (this.#rule.sharedByLayer ? this.#layers[layer].numKvHeads : 1)
    let [heldTokens, values] = [0, 0]
    for (const [layer, sets] of this.#held.entries()) {
      for (const { count } of sets) {
        heldTokens += count * sharing(layer)
        values += count
      }
    }
    return { ...this.#counter.counts(), heldTokens, indexBytes: values * Float32Array.BYTES_PER_ELEMENT }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The KV heads [first, end) of a set. */
  #headsOf(layer: number, set: number): [first: number, end: number] {
    return this.#rule.sharedByLayer ? [0, this.#layers[layer].numKvHeads] : [set, set + 1]
  }

  /** mass [numHeads][numTokens], summed over the query heads of the KV heads [first, end). */
  #judgePrompt(held: HeldRows, mass: Float32Array, layer: number, first: number, end: number): void {
    const { rows, mass: ofRows } = held
    const { numHeads, numKvHeads } = this.#layers[layer]
    const [numTokens, group] = [mass.length / numHeads, numHeads / numKvHeads]
    for (let at = 0; at < rows.length; at++) {
      let sum = 0
      for (let head = first * group; head < end * group; head++) sum += mass[head * numTokens + rows[at]]
      ofRows[at] = sum
    }
  }

  #judgeStep(held: HeldRows, step: StepView, first: number, end: number): void {
    const { rows, mass } = held
    if (!this.#rule.accumulates) mass.fill(0)
    for (let kvHead = first; kvHead < end; kvHead++) {
      const read = rowsOutside(rows, droppedSpans(step.kv, step.layer as number, kvHead))
      const weights = step.weights!(kvHead, read)
      for (let at = 0, place = 0; at < read.length; at++, place++) {
        while (rows[place] !== read[at]) place++
        for (let of = at; of < weights.length; of += read.length) mass[place] += weights[of]
      }
    }
  }
}

/** Rows that none of the KV heads [first, end) reads any more. */
function droppedByAll(kv: KvReader, layer: number, first: number, end: number): Span[] {
  const held: Span[][] = []
  for (let kvHead = first; kvHead < end; kvHead++) {
    held.push(complementSpans(droppedSpans(kv, layer, kvHead), kv.numTokens))
  }
  return complementSpans(mergeSpans(...held), kv.numTokens)
}

function cloneHeld(held: Held): Held {
  return held.map((sets) => sets.map((rows) => rows.clone()))
}
