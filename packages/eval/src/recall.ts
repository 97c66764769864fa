import { bestIndices, pageTokens, type RunList } from '@kvasir/core'
import type { SelectedView } from '@kvasir/llama'
import { mean } from './metrics.ts'

/** Heads of the layers: numHeads / numKvHeads query heads read one KV head. */
export interface HeadCounts {
  readonly numHeads: number
  readonly numKvHeads: number
}

/** Attention mass that a choice of rows holds, at one layer of one step: means over the query heads. */
export interface LayerRecall {
  /** Share of the whole mass. */
  readonly raw: number
  /** Share of the mass outside the rows that every policy keeps: the first 4 and the last 16. */
  readonly chosen: number
  /** The same for the best choice of as many rows of each head. */
  readonly oracle: number
  /** The same for rows drawn by lot, as expected. */
  readonly random: number
}

const sinkTokens = 4
const recentTokens = 16

/**
 * Attention-mass recall of one layer, with the weights of the full cache for the step's own queries. The budget of the
 * oracle and of chance is the layer's mean, so a policy that shares its budget among heads may pass the oracle.
 */
export function layerRecall(selected: SelectedView, { numHeads, numKvHeads }: HeadCounts): LayerRecall {
  const { numTokens, runs } = selected
  const all = Int32Array.from({ length: numTokens }, (_, index) => index)
  const [from, to] = [Math.min(sinkTokens, numTokens), Math.max(sinkTokens, numTokens - recentTokens)]
  const candidates = Math.max(0, to - from)
  const group = numHeads / numKvHeads
  const numRows = runs.rowStarts.length - 1
  const marks = Array.from({ length: numRows }, (_, row) => marksOf(runs, row, numTokens))
  const kept = marks.reduce((sum, row) => sum + countMarks(row, from, to), 0) / numRows
  const budget = Math.round(kept)
  const sums = { raw: 0, chosen: 0, oracle: 0 }
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
    const weights = selected.weights(kvHead, all)
    // Heads that share a row of the list share the oracle's choice.
    const shared = numRows === numKvHeads ? group : 1
    for (let first = 0; first < group; first += shared) {
      const mass = new Float64Array(candidates)
      const row = marks[numRows === numKvHeads ? kvHead : kvHead * group + first]
      for (let head = first; head < first + shared; head++) {
        const own = weights.subarray(head * numTokens, (head + 1) * numTokens)
        addMass(own, row, from, to, mass, sums)
      }
      for (const best of bestIndices(all.subarray(0, candidates), mass, budget)) sums.oracle += mass[best]
    }
  }
  return {
    raw: sums.raw / numHeads,
    chosen: sums.chosen / numHeads,
    oracle: sums.oracle / numHeads,
    random: candidates === 0 ? 1 : kept / candidates,
  }
}

/** Adds one query head: its recalls to `sums`, its share of each candidate to `mass`. */
function addMass(
  weights: Float32Array,
  marks: Uint8Array,
  from: number,
  to: number,
  mass: Float64Array,
  sums: { raw: number; chosen: number },
): void {
  let total = 0
  let raw = 0
  let outside = 0
  let chosen = 0
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]
    const selected = weight * marks[i]
    total += weight
    raw += selected
    if (i < from || i >= to) continue
    outside += weight
    chosen += selected
  }
  sums.raw += raw / total
  if (outside === 0) return
  sums.chosen += chosen / outside
  for (let i = from; i < to; i++) mass[i - from] += weights[i] / outside
}

/** [numTokens]: 1 where row `row` of the list names the token. */
function marksOf(runs: RunList, row: number, numTokens: number): Uint8Array {
  const marks = new Uint8Array(numTokens)
  for (let run = runs.rowStarts[row]; run < runs.rowStarts[row + 1]; run++) {
    const start = runs.runs[run * 3] * pageTokens + runs.runs[run * 3 + 1]
    marks.fill(1, start, start + runs.runs[run * 3 + 2])
  }
  return marks
}

function countMarks(marks: Uint8Array, from: number, to: number): number {
  let count = 0
  for (let i = from; i < to; i++) count += marks[i]
  return count
}

/** Share of `rows` that are selected, as a mean over the rows of the list. */
export function selectedShare({ runs, numTokens }: SelectedView, rows: readonly number[]): number {
  const numRows = runs.rowStarts.length - 1
  let hits = 0
  for (let row = 0; row < numRows; row++) {
    const marks = marksOf(runs, row, numTokens)
    for (const index of rows) hits += marks[index]
  }
  return hits / (numRows * rows.length)
}

/** Recall of a run as results have it; see LayerRecall. Means over sampled steps and heads, then over layers. */
export interface RecallFields {
  readonly recallRaw: number
  readonly recall: number
  /** (recall - random) / (oracle - random), each a mean over the sampled steps: 0 is chance, 1 the oracle. */
  readonly recallNormalised: number
  /** [numLayers]: recallNormalised of each. */
  readonly recallByLayer: readonly number[]
}

/** Collects the recall of the sampled steps of one sequence. */
export class RecallMeter {
  readonly #heads: HeadCounts
  readonly #layers: { steps: number; raw: number; chosen: number; oracle: number; random: number }[]

  constructor(heads: HeadCounts & { readonly numLayers: number }) {
    this.#heads = heads
    this.#layers = Array.from({ length: heads.numLayers }, () => ({
      steps: 0,
      raw: 0,
      chosen: 0,
      oracle: 0,
      random: 0,
    }))
  }

  add(selected: SelectedView): void {
    const layer = this.#layers[selected.layer]
    const { raw, chosen, oracle, random } = layerRecall(selected, this.#heads)
    layer.steps++
    layer.raw += raw
    layer.chosen += chosen
    layer.oracle += oracle
    layer.random += random
  }

  /** null where no step was sampled. */
  fields(): RecallFields | null {
    if (this.#layers.some(({ steps }) => steps === 0)) return null
    const recallByLayer = this.#layers.map(normalise)
    return {
      recallRaw: mean(this.#layers.map(({ raw, steps }) => raw / steps)),
      recall: mean(this.#layers.map(({ chosen, steps }) => chosen / steps)),
      recallNormalised: mean(recallByLayer),
      recallByLayer,
    }
  }
}

/** Where oracle and chance are alike everything was read, or nothing could be: no choice was to be made. */
function normalise({ chosen, oracle, random }: { chosen: number; oracle: number; random: number }): number {
  return oracle - random < 1e-9 ? 1 : (chosen - random) / (oracle - random)
}
