import type { PromptAttention } from '../views.ts'
import { attentionWeights } from './toy-model.ts'
import { heldRows, type ToyState } from './toy-rows.ts'
import { numHeads } from './toy-weights.ts'

/** Attention of the rows [start, numTokens), each over what is held of the rows before it; computed when it is asked for. */
export function toyAttention(state: ToyState, start: number, windowTokens: number): PromptAttention {
  const numTokens = state.tokens.length
  const atHand = Math.min(windowTokens, numTokens - start)
  return {
    windowTokens: atHand,
    windowMass: async (layer, tokens = atHand) => massOf(state, layer, numTokens - Math.min(tokens, atHand), numTokens),
    totalMass: async (layer) => massOf(state, layer, 0, numTokens),
  }
}

/** [numHeads][end] */
function massOf(state: ToyState, layer: number, start: number, end: number): Float32Array {
  const { queries, keys } = state.layers[layer]
  const mass = new Float64Array(numHeads * end)
  for (let row = start; row < end; row++) {
    // Borrowed rows paid no attention here, and that of decoded rows is none of a prompt's.
    if (queries[row] === undefined) continue
    const held = heldRows(state, layer, row + 1)
    for (let head = 0; head < numHeads; head++) {
      const indices = held(head)
      const weights = attentionWeights(queries[row], head, keys, indices)
      for (let at = 0; at < weights.length; at++) mass[head * end + indices[at]] += weights[at]
    }
  }
  return Float32Array.from(mass)
}
