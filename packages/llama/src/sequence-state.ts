import { type CachePolicy, type GuardedSession, type KvReader, pageTokens, type Scope, type Slot } from '@kvasir/core'
import type { CountingSelector, KvArena } from '@kvasir/kernels'
import type { EngineParts } from './engine-parts.ts'
import { forkKept, type KeptPrompt } from './kept-rows.ts'
import type { ObservedPrompt } from './observed-prompt.ts'
import type { PagePool } from './page-pool.ts'
import type { AuditRequest, ReuseReport } from './reuse.ts'
import type { TextStream } from './text-stream.ts'

/** Totals since the sequence began; peaks are of one decode step. Tokens are summed over layers and KV heads. */
interface SequenceCounts {
  decodeSteps: number
  denseSteps: number
  attendedTokens: number
  reusedTokens: number
  peakAttendedTokens: number
  peakPooledTokens: number
}

/** What one sequence holds. Plain data; the functions of this package change it, one at a time. */
export interface SequenceState {
  readonly id: string
  readonly scope: Scope
  readonly tokens: number[]
  /** Physical page of each logical page. */
  readonly pages: number[]
  /** Rows from 0 on that were computed densely from exact rows: these may be reused by others. */
  exactTokens: number
  /** null without a policy: the full cache. */
  readonly session: GuardedSession | null
  readonly policyName: string
  readonly selectScope: 'step' | 'layer'
  /** Hooks that the policy has. */
  readonly slots: ReadonlySet<Slot>
  /** The policy wants to see what computed rows of a partial prefill attend to. */
  readonly watchesRecomputed: boolean
  /** null where nobody asked to see the attention of prompts. */
  observed: ObservedPrompt | null
  /** null while the policy keeps every row. */
  kept: KeptPrompt | null
  /** Native selectors that served this sequence; they count their own work. */
  readonly selectors: Set<CountingSelector>
  /** Text that each token adds; null for models without a tokenizer. */
  text: TextStream | null
  readonly counts: SequenceCounts
  /** What became of borrowing rows for the prompt; null where nobody offered. */
  reuse: ReuseReport | null
  /** A borrowed prompt that waits to be compared with a full prefill. */
  audit: AuditRequest | null
  /** The last answer to what becomes a donor: its id, and how many rows were exact then. */
  published: { readonly id: string | null; readonly exactTokens: number } | null
  disposed: boolean
}

/** A state that holds no rows yet. */
export function newState({
  policy,
  ...fields
}: Pick<SequenceState, 'id' | 'scope' | 'session' | 'text' | 'observed'> & {
  readonly policy: CachePolicy | null
}): SequenceState {
  return {
    ...fields,
    policyName: policy?.name ?? 'none',
    selectScope: policy?.effects.selectScope ?? 'step',
    slots: new Set(policy?.effects.slots),
    watchesRecomputed: policy?.effects.observes?.recomputed ?? false,
    tokens: [],
    pages: [],
    exactTokens: 0,
    kept: null,
    selectors: new Set(),
    counts: {
      decodeSteps: 0,
      denseSteps: 0,
      attendedTokens: 0,
      reusedTokens: 0,
      peakAttendedTokens: 0,
      peakPooledTokens: 0,
    },
    reuse: null,
    audit: null,
    published: null,
    disposed: false,
  }
}

/** Gives the empty state `to` all rows of `from`; both own the pages until one of them writes. */
export function shareRows(from: SequenceState, to: SequenceState, pool: PagePool): void {
  const pages = from.pages.slice(0, Math.ceil(from.tokens.length / pageTokens))
  for (const page of pages) pool.share(page)
  to.pages.push(...pages)
  to.tokens.push(...from.tokens)
  to.exactTokens = from.exactTokens
  to.kept = forkKept(from.kept)
}

/** Makes room for rows [tokens.length, tokens.length + count): takes pages, and a private copy of a shared last page. */
export function reserveRows(state: SequenceState, count: number, pool: PagePool, arena: KvArena): void {
  const numTokens = state.tokens.length
  const last = Math.floor(numTokens / pageTokens)
  const shared = state.pages[last]
  if (count > 0 && shared !== undefined && pool.owners(shared) > 1) {
    const own = pool.take()
    arena.copyPage(shared, own)
    pool.release(shared)
    state.pages[last] = own
  }
  while (state.pages.length * pageTokens < numTokens + count) state.pages.push(pool.take())
}

/** Gives back the pages that hold none of the first numTokens rows. */
export function releasePagesAfter(state: SequenceState, numTokens: number, pool: PagePool): void {
  const keep = Math.ceil(numTokens / pageTokens)
  for (const page of state.pages.splice(keep)) pool.release(page)
}

/** Physical row of an index of the sequence. */
export function slotOf(state: SequenceState, index: number): number {
  return (state.pages[Math.floor(index / pageTokens)] as number) * pageTokens + (index % pageTokens)
}

/** Read access for policies to the first numTokens rows. */
export function readerOf(state: SequenceState, numTokens: number, arena: KvArena): KvReader {
  const pages = Int32Array.from(state.pages)
  const dropped = state.kept?.dropped
  return {
    numTokens,
    ...(dropped && { dropped: (layer: number, kvHead: number) => dropped[layer]?.[kvHead] ?? [] }),
    keys: (layer, kvHead, start, end) => arena.readRows('keys', layer, kvHead, pages, start, end),
    values: (layer, kvHead, start, end) => arena.readRows('values', layer, kvHead, pages, start, end),
    native: { arena, pages },
  }
}

/** `StepView.weights` for the queries [numHeads][headDim] of a layer. */
export function weightsOf(
  { kernels, arena, config }: EngineParts,
  state: SequenceState,
  layer: number,
  queries: Float32Array,
): (kvHead: number, indices: Int32Array) => Float32Array {
  const pages = Int32Array.from(state.pages)
  const group = (config.numHeads / config.numKvHeads) * config.headDim
  const scale = 1 / Math.sqrt(config.headDim)
  return (kvHead, indices) => {
    const own = queries.subarray(kvHead * group, (kvHead + 1) * group)
    return kernels.attentionWeights({ arena, pages }, layer, kvHead, own, indices, scale)
  }
}
