import { CapabilityError, indicesOfRow, type ObservedAttention, type PromptAttention } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { heldList, type KeptPrompt } from './kept-rows.ts'
import { maxWindowTokens, type Observer } from './observer.ts'
import { type SequenceState, weightsOf } from './sequence-state.ts'

/** What was seen of a sequence's prompts. Replaced, never changed, so that forks share it. */
export interface ObservedPrompt {
  readonly windowTokens: number
  readonly allRows: boolean
  /** Queries of the last rows of the prompt, a layer each: [rows][numHeads][headDim]. */
  readonly queries: readonly Float32Array[]
  /** Attention of all rows read so far, a layer each: [numHeads][massTokens]; null once rows that paid it are gone. */
  readonly mass: readonly Float32Array[] | null
  readonly massTokens: number
}

/** Watches what any of the wishes asks for; null where none does. Throws a CapabilityError for too wide a window. */
export function openObserved(wishes: readonly (ObservedAttention | undefined)[]): ObservedPrompt | null {
  const windowTokens = Math.max(0, ...wishes.map((wish) => wish?.windowTokens ?? 0))
  const allRows = wishes.some((wish) => wish?.allRows)
  if (windowTokens === 0 && !allRows) return null
  if (windowTokens <= maxWindowTokens) return { windowTokens, allRows, queries: [], mass: [], massTokens: 0 }
  throw new CapabilityError({
    parameter: 'observes.windowTokens',
    expected: `at most ${maxWindowTokens}`,
    got: windowTokens,
  })
}

/** Throws a CapabilityError unless what was seen of a sequence's rows is what a policy that starts now asks for. */
export function checkObserved(policy: string, wish: ObservedAttention | undefined, seen: ObservedPrompt | null): void {
  const missing = (wish?.windowTokens ?? 0) > (seen?.windowTokens ?? 0) || (wish?.allRows && !seen?.allRows)
  if (!missing) return
  throw new CapabilityError({
    parameter: policy,
    expected: 'a sequence whose prompt was watched',
    got: `attention of ${seen?.allRows ? 'all rows' : `the last ${seen?.windowTokens ?? 0} rows`}`,
    remedy: 'Give createSequence the option observe with what the policy observes.',
  })
}

/** Before a chunk of `count` rows is prefilled: says which queries to keep, and clears what is summed. Returns their number. */
export function watchChunk(
  { config, programs }: EngineParts,
  observed: ObservedPrompt,
  count: number,
  contextTokens: number,
): number {
  const observer = programs.observer()
  const kept = Math.min(observed.windowTokens, count)
  for (let i = 0; i < kept; i++) observer.rows[i] = count - kept + i
  if (observed.allRows) clearMass(observer, config.numHeads, contextTokens)
  return kept
}

/** After it, with numTokens rows: takes `kept` queries and the mass of the chunk in. `first`: the chunk begins the prompt. */
export function takeChunk(
  { config, programs }: EngineParts,
  observed: ObservedPrompt,
  {
    numTokens: massTokens,
    kept,
    first,
  }: { readonly numTokens: number; readonly kept: number; readonly first: boolean },
): ObservedPrompt {
  const observer = programs.observer()
  const width = config.numHeads * config.headDim
  const queries = observer.queries.map((rows, layer) => {
    const before = (first ? undefined : observed.queries[layer]) ?? new Float32Array(0)
    return lastValues(before, rows.subarray(0, kept * width), observed.windowTokens * width)
  })
  const { mass: before, allRows } = observed
  const mass =
    allRows && before
      ? observer.mass.map((sums, layer) => packMass(sums, config.numHeads, massTokens, before[layer]))
      : before
  return { ...observed, queries, mass, massTokens }
}

/** After one row that was read over kept rows alone; `queries` [numHeads][headDim] a layer. What all rows paid is not known then. */
export function takeRow(observed: ObservedPrompt, queries: readonly Float32Array[], first: boolean): ObservedPrompt {
  const joined = queries.map((row, layer) => {
    const before = (first ? undefined : observed.queries[layer]) ?? new Float32Array(0)
    return lastValues(before, row, observed.windowTokens * row.length)
  })
  return { ...observed, queries: joined, mass: null }
}

/** What stands of it once only the first numTokens rows are left: queries of rows that are gone say nothing. */
export function cutObserved(observed: ObservedPrompt | null, numTokens: number): ObservedPrompt | null {
  if (observed === null || numTokens >= observed.massTokens) return observed
  if (numTokens === 0) return { ...observed, queries: [], mass: [], massTokens: 0 }
  return { ...observed, queries: [], mass: null, massTokens: numTokens }
}

/** The view for policies; its masses are computed when they are asked for, all layers at once. */
export function attentionOf(parts: EngineParts, state: SequenceState, observed: ObservedPrompt): PromptAttention {
  const { numHeads, headDim } = parts.config
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
      if (mass !== undefined) return mass.slice()
      throw new CapabilityError({
        parameter: 'totalMass',
        expected: 'a policy that observes allRows, on rows that were all prefilled under watch',
        got: observed.allRows ? 'a sequence that was rewound, or read on after rows were dropped' : 'windows alone',
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
  const { numHeads, numKvHeads, headDim } = parts.config
  const numTokens = state.tokens.length
  const group = numHeads / numKvHeads
  const width = numHeads * headDim
  return queries.map((all, layer) => {
    const mass = new Float32Array(numHeads * numTokens)
    const held = heldList(state.kept as KeptPrompt, layer, numTokens)
    for (let row = 0; row < rows; row++) {
      const end = all.length - (rows - 1 - row) * width
      const weights = weightsOf(parts, state, layer, all.subarray(end - width, end))
      for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
        const seen = Int32Array.from(indicesOfRow(held, kvHead)).filter((index) => index <= numTokens - rows + row)
        const ofGroup = weights(kvHead, seen)
        ofGroup.forEach((weight, at) => {
          const head = kvHead * group + Math.floor(at / seen.length)
          const index = head * numTokens + (seen[at % seen.length] as number)
          mass[index] = (mass[index] as number) + weight
        })
      }
    }
    return mass
  })
}

function clearMass({ mass }: Observer, numHeads: number, numTokens: number): void {
  for (const sums of mass) {
    const stride = sums.length / numHeads
    for (let head = 0; head < numHeads; head++) sums.fill(0, head * stride, head * stride + numTokens)
  }
}

/** [numHeads][numTokens] out of a buffer of wider rows, plus what `before` [numHeads][beforeTokens] has. */
function packMass(
  sums: Float32Array,
  numHeads: number,
  numTokens: number,
  before: Float32Array = new Float32Array(0),
): Float32Array {
  const packed = new Float32Array(numHeads * numTokens)
  const stride = sums.length / numHeads
  const beforeTokens = before.length / numHeads
  for (let head = 0; head < numHeads; head++) {
    packed.set(sums.subarray(head * stride, head * stride + numTokens), head * numTokens)
    for (let at = 0; at < beforeTokens; at++) {
      packed[head * numTokens + at] =
        (packed[head * numTokens + at] as number) + (before[head * beforeTokens + at] as number)
    }
  }
  return packed
}

/** The last `most` values of both. */
function lastValues(before: Float32Array, added: Float32Array, most: number): Float32Array {
  const kept = before.subarray(Math.max(0, before.length + added.length - most))
  const joined = new Float32Array(kept.length + added.length)
  joined.set(kept)
  joined.set(added, kept.length)
  return joined
}
