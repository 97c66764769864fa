import type { PromptView, Provenance, ReusePlan } from '@kvasir/core'
import { commitBatch, makeRoom } from './batch.ts'
import type { EngineParts } from './engine-parts.ts'
import { LendingFailure, openLent } from './lent-rows.ts'
import { type PartialRequest, type PartialResult, partialPrefill } from './partial-prefill.ts'
import type { PartialWatching } from './partial-programs.ts'
import { reserveRows, type SequenceState } from './sequence-state.ts'

/** What became of a policy's offer to borrow rows for a prompt. */
export interface ReuseReport {
  /** The plan was carried out. */
  readonly accepted: boolean
  /** The policy's, or why its plan could not be carried out. */
  readonly reason: string
  /** Rows that stood before: an exact prefix that the engine had. */
  readonly standingTokens: number
  /** Rows that the plan's pieces cover, computed again or not. */
  readonly borrowedTokens: number
  /** (token, layer) pairs computed for the prompt, an attempt that was given up included. */
  readonly recomputedPairs: number
  /** The same as a share of all pairs of the prompt. */
  readonly recomputedShare: number
  readonly donors: readonly string[]
  /** Whether the rows are those of a full prefill, or what they approximate; null: nothing was borrowed. */
  readonly provenance: Provenance | null
}

/** A borrowed prompt that is to be compared with a full prefill. */
export interface AuditRequest {
  readonly tokens: Int32Array
  readonly logits: Float32Array
}

/** A whole prompt; the sequence holds the rows of it that stand. */
export interface ReusePrompt {
  readonly state: SequenceState
  readonly tokens: Int32Array
}

/**
 * Asks the policies of the prompts what can be borrowed and carries their plans out together. Returns the logits of each
 * prompt that stands now, null for those that are to be computed as ever.
 */
export async function borrowPrompts(
  parts: EngineParts,
  prompts: readonly ReusePrompt[],
  signal?: AbortSignal,
): Promise<(Float32Array | null)[]> {
  const requests = new Map<ReusePrompt, PartialRequest>()
  let results: PartialResult[] = []
  try {
    for (const prompt of prompts) {
      const request = await planOf(parts, prompt, signal)
      if (request !== null) requests.set(prompt, request)
    }
    const watching = strongest([...requests.keys()].map(({ state }) => watchingOf(state)))
    if (requests.size > 0) results = await partialPrefill(parts, [...requests.values()], watching, signal)
  } finally {
    for (const { lent } of requests.values()) lent.close()
  }
  const outcomes = new Map([...requests.keys()].map((prompt, at) => [prompt, results[at] as PartialResult]))
  return prompts.map((prompt) => {
    const request = requests.get(prompt)
    return request ? settle(parts, request, outcomes.get(prompt) as PartialResult) : null
  })
}

/** What the policy would borrow, with its donors open; null where nothing is, and the report then says why. */
async function planOf(
  parts: EngineParts,
  { state, tokens }: ReusePrompt,
  signal?: AbortSignal,
): Promise<PartialRequest | null> {
  const { session } = state
  const standingTokens = state.tokens.length
  if (session === null || !state.slots.has('reuse') || tokens.length === standingTokens) return null
  if (state.observed) return declined(parts, state, tokens, 'the attention of this prompt is watched')
  const plan = await session.reuse(viewOf(parts, state, tokens, signal))
  if (plan.kind === 'decline') return declined(parts, state, tokens, plan.reason)
  makeRoom(parts, state, tokens.length - standingTokens)
  reserveRows(state, tokens.length - standingTokens, parts.pool, parts.arena)
  const skip = state.slots.has('recompute') ? null : plan.recompute
  const lent = await openLent(parts, state, { plan, tokens, skip }, signal)
  if (lent instanceof LendingFailure) return declined(parts, state, tokens, lent.reason)
  return { state, tokens, plan, lent }
}

/** Pieces are made when they are asked for: most prompts are declined before. */
function viewOf(parts: EngineParts, state: SequenceState, tokens: Int32Array, signal?: AbortSignal): PromptView {
  let pieces: readonly string[] | undefined
  return {
    tokens,
    get pieces() {
      pieces ??= piecesOf(state, tokens)
      return pieces
    },
    standingTokens: state.tokens.length,
    embeddings: (ids) => embeddingsOf(parts, ids),
    ...(signal && { signal }),
  }
}

function piecesOf({ text, tokens: standing }: SequenceState, tokens: Int32Array): string[] {
  text?.resume([])
  const pieces = Array.from(tokens, (token) => text?.push(token) ?? '')
  text?.resume(standing)
  return pieces
}

function declined(parts: EngineParts, state: SequenceState, tokens: Int32Array, reason: string): null {
  state.reuse = reportOf(parts, state, { tokens, reason, accepted: false, computedPairs: 0 })
  return null
}

/** Commits a prompt that came through; one that did not is left as it was. */
function settle(
  parts: EngineParts,
  { state, tokens, plan, lent }: PartialRequest,
  { outcome, computedPairs }: PartialResult,
): Float32Array | null {
  const accepted = outcome instanceof Float32Array
  const reason = accepted ? plan.reason : outcome.reason
  state.reuse = reportOf(parts, state, { tokens, reason, accepted, computedPairs, plan })
  if (!accepted) return null
  const rest = tokens.subarray(state.tokens.length)
  commitBatch([{ state, tokens: rest }], false)
  state.exactTokens = lent.exactTokens
  state.counts.reusedTokens += tokens.length - plan.recompute.rows.length - state.reuse.standingTokens
  if (plan.audit) state.audit = { tokens, logits: outcome.slice() }
  return outcome
}

function reportOf(
  { config }: EngineParts,
  state: SequenceState,
  of: {
    readonly tokens: Int32Array
    readonly reason: string
    readonly accepted: boolean
    readonly computedPairs: number
    readonly plan?: ReusePlan
  },
): ReuseReport {
  const { tokens, reason, accepted, computedPairs, plan } = of
  const standingTokens = state.tokens.length
  const inFull = accepted ? 0 : (tokens.length - standingTokens) * config.numLayers
  const recomputedPairs = computedPairs + inFull
  const pieces = plan?.pieces ?? []
  return {
    accepted,
    reason,
    standingTokens,
    borrowedTokens: accepted ? pieces.reduce((sum, { start, end }) => sum + end - start, 0) : 0,
    recomputedPairs,
    recomputedShare: recomputedPairs / (tokens.length * config.numLayers),
    donors: [...new Set(pieces.map(({ donor }) => donor))],
    provenance: accepted && plan && pieces.length > 0 ? plan.provenance : null,
  }
}

/** [ids.length][hiddenDim] */
function embeddingsOf({ kernels, embedding, config }: EngineParts, ids: Int32Array): Float32Array {
  const rows = new Float32Array(ids.length * config.hiddenDim)
  ids.forEach((id, at) => {
    rows.set(kernels.weightRow(embedding, id), at * config.hiddenDim)
  })
  return rows
}

function watchingOf({ slots, watchesRecomputed }: SequenceState): PartialWatching {
  if (!slots.has('recompute')) return 'nothing'
  return watchesRecomputed ? 'attention' : 'distances'
}

function strongest(all: readonly PartialWatching[]): PartialWatching {
  return all.includes('attention') ? 'attention' : all.includes('distances') ? 'distances' : 'nothing'
}
