import { CapabilityError, indicesOfRow, type PromptAttention } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { heldList, type KeptPrompt } from './kept-rows.ts'
import type { ObservedPrompt } from './observed-prompt.ts'
import { clearMass, packMass, widenMass } from './observer-mass.ts'
import { type SequenceState, weightsOf } from './sequence-state.ts'

/** The view for policies; its masses are computed when they are asked for, all layers at once. */
export function attentionOf(parts: EngineParts, state: SequenceState, observed: ObservedPrompt): PromptAttention {
  const { numHeads, headDim } = parts.config
  const numTokens = state.tokens.length
  const atHand = (observed.queries[0]?.length ?? 0) / (numHeads * headDim)
  const windows = new Map<number, Promise<Float32Array[]>>()
  return {
    windowTokens: atHand,
    async windowMass(layer, windowTokens = atHand) {
      const rows = Math.min(windowTokens, atHand)
      const massOf = state.kept ? massOverKept : massOfWindow
      const masses = windows.get(rows) ?? massOf(parts, state, observed, rows)
      windows.set(rows, masses)
      return ((await masses)[layer] as Float32Array).slice()
    },
    async totalMass(layer) {
      const mass = observed.allRows ? observed.mass?.[layer] : undefined
      if (mass !== undefined) return widenMass(mass, numHeads, numTokens)
      throw new CapabilityError({
        parameter: 'totalMass',
        expected: 'a policy that observes allRows',
        got: observed.allRows
          ? 'a sequence that was rewound into a prompt read after rows were dropped'
          : 'windows alone',
      })
    },
  }
}

/** [numHeads][numTokens] a layer: the attention of the last `rows` queries at hand. */
async function massOfWindow(
  { config, programs }: EngineParts,
  { tokens, pages }: SequenceState,
  { queries }: ObservedPrompt,
  rows: number,
): Promise<Float32Array[]> {
  const { numHeads } = config
  const observer = programs.observer()
  const { batch, mass } = observer
  const numTokens = tokens.length
  batch.rowStarts.set([0, rows])
  batch.contextTokens[0] = numTokens
  batch.pageStarts.set([0, pages.length])
  batch.pages.set(pages)
  const width = numHeads * config.headDim
  queries.forEach((all, layer) => {
    observer.queries[layer]?.set(all.subarray(all.length - rows * width))
  })
  clearMass(observer, numHeads, numTokens)
  await observer.ofQueries.run({ tokens: rows, sequences: 1 })
  return mass.map((sums) => packMass(sums, numHeads, numTokens))
}

/** The same where rows were dropped: row by row over what is held. */
async function massOverKept(
  parts: EngineParts,
  state: SequenceState,
  { queries }: ObservedPrompt,
  rows: number,
): Promise<Float32Array[]> {
  const { numHeads, headDim } = parts.config
  const numTokens = state.tokens.length
  const width = numHeads * headDim
  return queries.map((all, layer) => {
    const mass = new Float32Array(numHeads * numTokens)
    for (let row = 0; row < rows; row++) {
      const end = all.length - (rows - 1 - row) * width
      addRowMass(parts, state, layer, { queries: all.subarray(end - width, end), row: numTokens - rows + row }, mass)
    }
    return mass
  })
}

/** Adds to mass [numHeads][numTokens] of a layer what the row `row`, by its queries [numHeads][headDim], pays held rows up to itself. */
export function addRowMass(
  parts: EngineParts,
  state: SequenceState,
  layer: number,
  { queries, row }: { readonly queries: Float32Array; readonly row: number },
  mass: Float32Array,
): void {
  const { numHeads, numKvHeads } = parts.config
  const numTokens = mass.length / numHeads
  const group = numHeads / numKvHeads
  const held = heldList(state.kept as KeptPrompt, layer, numTokens)
  const weights = weightsOf(parts, state, layer, queries)
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
    const seen = Int32Array.from(indicesOfRow(held, kvHead)).filter((index) => index <= row)
    weights(kvHead, seen).forEach((weight, at) => {
      const head = kvHead * group + Math.floor(at / seen.length)
      const index = head * numTokens + (seen[at % seen.length] as number)
      mass[index] = (mass[index] as number) + weight
    })
  }
}
