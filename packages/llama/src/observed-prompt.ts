import { CapabilityError, type ObservedAttention } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { maxWindowTokens } from './observer.ts'
import { clearMass, packMass } from './observer-mass.ts'

/** What was seen of a sequence's prompts. Replaced, never changed, so that forks share it. */
export interface ObservedPrompt {
  readonly windowTokens: number
  readonly allRows: boolean
  /** Queries of the last rows of the last prompt, a layer each: [rows][numHeads][headDim]. */
  readonly queries: readonly Float32Array[]
  /** Attention of all rows read so far, a layer each: [numHeads][massTokens]; null where it is not known. */
  readonly mass: readonly Float32Array[] | null
  readonly massTokens: number
  /** Oldest first; the last one ends at massTokens. */
  readonly prompts: readonly WatchedPrompt[]
  /** The last prompt was cut by a rewind: what its rows paid is known once they were read again. */
  readonly forgotten: boolean
}

interface WatchedPrompt {
  readonly start: number
  /** Its rows read all rows before them. */
  readonly dense: boolean
  readonly massBefore: ObservedPrompt['mass']
  readonly tokensBefore: number
}

/** Watches what any of the wishes asks for; null where none does. Throws a CapabilityError for too wide a window. */
export function openObserved(wishes: readonly (ObservedAttention | undefined)[]): ObservedPrompt | null {
  const windowTokens = Math.max(0, ...wishes.map((wish) => wish?.windowTokens ?? 0))
  const allRows = wishes.some((wish) => wish?.allRows)
  if (windowTokens === 0 && !allRows) return null
  if (windowTokens <= maxWindowTokens) {
    return { windowTokens, allRows, queries: [], mass: [], massTokens: 0, prompts: [], forgotten: false }
  }
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

/** Before the first rows of a prompt are read, at a length of `start`. */
export function beginPrompt(observed: ObservedPrompt, start: number, dense: boolean): ObservedPrompt {
  const { mass: massBefore, massTokens: tokensBefore } = observed
  const prompts = [...observed.prompts, { start, dense, massBefore, tokensBefore }]
  return { ...observed, queries: [], prompts, forgotten: false }
}

/** After a chunk, with numTokens rows: takes `kept` queries and the mass of the chunk in. */
export function takeChunk(
  { config, programs }: EngineParts,
  observed: ObservedPrompt,
  { numTokens: massTokens, kept }: { readonly numTokens: number; readonly kept: number },
): ObservedPrompt {
  const observer = programs.observer()
  const width = config.numHeads * config.headDim
  const rows = observer.queries.map((all) => all.subarray(0, kept * width))
  const { mass: before, allRows } = observed
  const mass =
    allRows && before
      ? observer.mass.map((sums, layer) => packMass(sums, config.numHeads, massTokens, before[layer]))
      : before
  return { ...withQueries(observed, rows, width), mass, massTokens }
}

/** After one row that was read over kept rows alone: its `queries` [numHeads][headDim] a layer, and the mass with what it paid. */
export function takeRow(
  observed: ObservedPrompt,
  queries: readonly Float32Array[],
  mass: ObservedPrompt['mass'],
  massTokens: number,
): ObservedPrompt {
  return { ...withQueries(observed, queries, queries[0]?.length ?? 0), mass, massTokens }
}

/** With the queries of further rows, [rows][width] a layer. */
function withQueries(observed: ObservedPrompt, rows: readonly Float32Array[], width: number): ObservedPrompt {
  const most = observed.windowTokens * width
  const queries = rows.map((added, layer) => lastValues(observed.queries[layer] ?? new Float32Array(0), added, most))
  return { ...observed, queries }
}

/** What stands of it once only the first numTokens rows are left. */
export function cutObserved(observed: ObservedPrompt | null, numTokens: number): ObservedPrompt | null {
  if (observed === null || numTokens >= observed.massTokens) return observed
  const endOf = (at: number) => observed.prompts[at + 1]?.tokensBefore ?? observed.massTokens
  const at = observed.prompts.findIndex((_, prompt) => endOf(prompt) > numTokens)
  const { start, massBefore, tokensBefore } = observed.prompts[at] as WatchedPrompt
  if (start >= numTokens) {
    const prompts = observed.prompts.slice(0, at)
    return { ...observed, queries: [], mass: massBefore, massTokens: tokensBefore, prompts, forgotten: false }
  }
  const prompts = observed.prompts.slice(0, at + 1)
  return { ...observed, queries: [], mass: null, massTokens: numTokens, prompts, forgotten: true }
}

/**
 * What is known before the forgotten rows are read again, with their start; null where none are, or where reading them
 * would not tell: they read a part of the rows before them, which may be another part now.
 */
export function beforeForgotten(observed: ObservedPrompt | null): { start: number; known: ObservedPrompt } | null {
  const prompt = observed?.prompts.at(-1)
  if (!observed?.forgotten || !prompt?.dense) return null
  const { massTokens, windowTokens, allRows } = observed
  const start = allRows && prompt.massBefore ? prompt.start : Math.max(prompt.start, massTokens - windowTokens)
  const known = { ...observed, mass: prompt.massBefore, massTokens: start, forgotten: false }
  return { start, known }
}

/** The last `most` values of both. */
function lastValues(before: Float32Array, added: Float32Array, most: number): Float32Array {
  const kept = before.subarray(Math.max(0, before.length + added.length - most))
  const joined = new Float32Array(kept.length + added.length)
  joined.set(kept)
  joined.set(added, kept.length)
  return joined
}
