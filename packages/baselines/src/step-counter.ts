import {
  countReadTokens,
  droppedSpans,
  type LayerShape,
  type PolicyCounts,
  type Selection,
  type StepView,
} from '@kvasir/core'
import { countOutside } from './rows-outside.ts'

/** Counts the steps of a policy that is asked at each layer, and the rows that its selections let attention read. */
export class StepCounter {
  #steps = 0
  #attendedTokens = 0

  /** Counts a selection, and hands it on. */
  count(step: StepView, selection: Selection, layers: readonly LayerShape[]): Selection {
    const layer = step.layer as number
    if (layer === 0) this.#steps++
    if (selection.kind === 'runs') {
      this.#attendedTokens += countReadTokens(step.kv, layer, selection.runs)
    } else {
      for (let kvHead = 0; kvHead < layers[layer].numKvHeads; kvHead++) {
        this.#attendedTokens += countOutside(droppedSpans(step.kv, layer, kvHead), 0, step.numTokens)
      }
    }
    return selection
  }

  counts(): PolicyCounts {
    return { steps: this.#steps, attendedTokens: this.#attendedTokens, pooledTokens: 0, indexBytes: 0 }
  }
}
