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
import type { AlwaysRead } from './budget.ts'
import { orderHeads, rankRows } from './ranked-rows.ts'
import { candidateRows, cutTurn, dropRest, joinRows, keptRows, type RankedLayer, type Turn } from './ranked-turn.ts'
import { StepCounter } from './step-counter.ts'

/**
 * inside: generated rows count in the budget and push out prompt rows, the lowest score first; chosen at each step.
 * beside: the prompt is cut to the budget for good, and generated rows come on top; leaves choosing to other policies.
 */
export type Generated = 'inside' | 'beside'

/** How the rows of a prompt are ranked, and how many of them each layer and head may keep. */
export interface RankingRule extends AlwaysRead {
  readonly generated: Generated
  /** Tokens a KV head of the layer, always-read ones included: the mean over its heads. */
  budgetOf(layer: number, numLayers: number): number
  /** Scores [numTokens] of each KV head of a layer; the higher, the longer a row is kept. */
  scoresOf(view: PrefillView, layer: number, shape: LayerShape): Promise<readonly Float32Array[]>
  /** Heads share the room of a layer: each keeps this share of an even split. Absent: an even split. */
  readonly floorShare?: number
}

/** One sequence whose prompt rows are ranked once, when the prompt ends: sinks, the best of them and the tail are read. */
export class RankedSession implements PolicySession {
  readonly #layers: readonly LayerShape[]
  readonly #rule: RankingRule
  /** Oldest first; the last one alone where rows are dropped for good. */
  #turns: readonly Turn[]
  readonly #counter = new StepCounter()
  /** Rows that stand, as far as the session was told. */
  #numTokens: number
  select?: (step: StepView) => Selection
  append?: (token: TokenView) => void

  constructor({ profile }: SequenceContext, rule: RankingRule, turns: readonly Turn[] = [], numTokens = 0) {
    this.#layers = profile.shape.layers
    this.#rule = rule
    this.#turns = turns
    this.#numTokens = numTokens
    if (rule.generated === 'inside') this.select = (step) => this.#select(step)
    else
      this.append = ({ index }) => {
        this.#numTokens = index + 1
      }
  }

  async retain(view: PrefillView): Promise<RetainPlan> {
    if (!view.last) return {}
    const turn = await this.#rank(view)
    this.#numTokens = turn.end
    if (this.#rule.generated === 'inside') {
      this.#turns = [...this.#turns, turn]
      return {}
    }
    const roomOf = (layer: number) => this.#roomOf(layer, turn.end - turn.tailStart)
    this.#turns = [dropRest(turn, roomOf, this.#rule.floorShare)]
    return { keep: this.#layers.map((_, layer) => runsOfIndices(this.#rowsAt(layer, turn.end))) }
  }

  fork(sequence: SequenceContext): RankedSession {
    return new RankedSession(sequence, this.#rule, this.#turns, this.#numTokens)
  }

  rewind(numTokens: number): void {
    this.#numTokens = Math.min(this.#numTokens, numTokens)
    if (this.#rule.generated === 'beside') {
      this.#turns = this.#turns.map((turn) => cutTurn(turn, numTokens))
      return
    }
    const undone = this.#turns.find(({ end }) => end > numTokens)
    if (undone === undefined) return
    // Its rows are new again, until the prompt ends a second time.
    this.#turns = this.#turns.slice(0, this.#turns.indexOf(undone))
    this.#numTokens = Math.min(this.#numTokens, undone.start)
  }

  counts(): PolicyCounts {
    let heldTokens = 0
    for (let layer = 0; layer < this.#layers.length; layer++) {
      for (const { length } of this.#rowsAt(layer, this.#numTokens)) heldTokens += length
    }
    return { ...this.#counter.counts(), heldTokens }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #select(step: StepView): Selection {
    this.#numTokens = step.numTokens
    const runs = runsOfIndices(this.#rowsAt(step.layer as number, step.numTokens))
    return this.#counter.count(step, { kind: 'runs', runs }, this.#layers)
  }

  async #rank(view: PrefillView): Promise<Turn> {
    const { sinkTokens, recentTokens, floorShare } = this.#rule
    const start = this.#numTokens
    const end = view.kv.numTokens
    const tailStart = Math.max(Math.min(sinkTokens, end), end - recentTokens)
    const layers: RankedLayer[] = []
    for (const [layer, shape] of this.#layers.entries()) {
      const most = this.#roomOf(layer, 0) * (floorShare === undefined ? 1 : shape.numKvHeads)
      const scores = await this.#rule.scoresOf(view, layer, shape)
      const heads = this.#rowsAt(layer, start).map((held, kvHead) => {
        const dropped = droppedSpans(view.kv, layer, kvHead)
        return rankRows(candidateRows(held, start, sinkTokens, tailStart, dropped), scores[kvHead], most)
      })
      layers.push({ heads, order: floorShare === undefined ? null : orderHeads(heads) })
    }
    return { start, end, tailStart, layers }
  }

  /** Rows that each KV head of a layer still has at a length of numTokens: sinks, ranked ones and the tail. */
  #rowsAt(layer: number, numTokens: number): Int32Array[] {
    const sinks = Math.min(this.#rule.sinkTokens, numTokens)
    const turn = this.#turns.at(-1)
    const unranked = numTokens - Math.max(sinks, turn?.tailStart ?? 0)
    const inside = this.#rule.generated === 'inside'
    const tail = inside ? Math.min(unranked, this.#roomOf(layer, 0)) : unranked
    const room = inside ? this.#roomOf(layer, tail) : Number.POSITIVE_INFINITY
    const ranked = turn && keptRows(turn.layers[layer], room, this.#rule.floorShare)
    return Array.from({ length: this.#layers[layer].numKvHeads }, (_, kvHead) =>
      joinRows(sinks, ranked?.[kvHead] ?? new Int32Array(0), numTokens - tail, numTokens),
    )
  }

  /** Rows a KV head of the layer beside sinks and a tail of so many rows. */
  #roomOf(layer: number, tail: number): number {
    return Math.max(0, this.#rule.budgetOf(layer, this.#layers.length) - this.#rule.sinkTokens - tail)
  }
}
