import {
  countRunTokens,
  type LayerShape,
  type PolicyCounts,
  runsWithoutSpans,
  type Selection,
  type StepView,
} from '@kvasir/core'

/** Counts the steps of a policy that is asked at each layer, and the rows that its selections let attention read. */
export class StepCounter {
  #steps = 0
  #attendedTokens = 0

  /** Counts a selection, and hands it on. */
  count(step: StepView, selection: Selection, layers: readonly LayerShape[]): Selection {
    const layer = step.layer as number
    if (layer === 0) this.#steps++
    const { evicted = [] } = step.kv
    if (selection.kind === 'runs') {
      const read = evicted.length === 0 ? selection.runs : runsWithoutSpans(selection.runs, evicted)
      this.#attendedTokens += countRunTokens(read)
    } else {
      const gone = evicted.reduce((sum, { start, end }) => sum + end - start, 0)
      this.#attendedTokens += (step.numTokens - gone) * layers[layer].numKvHeads
    }
    return selection
  }

  counts(): PolicyCounts {
    return { steps: this.#steps, attendedTokens: this.#attendedTokens, pooledTokens: 0, indexBytes: 0 }
  }
}
