import { PlanError, ScopeError } from '../errors.ts'
import type { GuardedSession } from '../guard.ts'
import type { ReusePlan, RowSet, Selection } from '../plans.ts'
import type { Effects } from '../policy.ts'
import { indicesOfRow } from '../run-list.ts'
import { type Scope, sameScope } from '../scope.ts'
import type { Span } from '../segment.ts'
import { complementSpans, mergeSpans } from '../spans.ts'
import { attend, embed, finishLayer, logitsOf, project, type ToyRows, turn } from './toy-model.ts'
import { readToyRows } from './toy-reader.ts'
import { numKvHeads, numLayers, type ToyWeights } from './toy-weights.ts'

/** Published KV rows, by the id of the sequence that computed them. */
export interface ToyDonor {
  readonly scope: Scope
  readonly spans: readonly Span[]
  readonly layers: readonly ToyRows[]
}

/** What one sequence holds. */
export interface ToyState {
  readonly id: string
  readonly scope: Scope
  readonly session: GuardedSession | null
  readonly effects: Effects | null
  readonly tokens: number[]
  readonly layers: readonly ToyRows[]
  evicted: readonly Span[]
  /** Rows from 0 on that were computed densely from exact rows. */
  exactTokens: number
  decodeSteps: number
  attendedTokens: number
}

/** Computes all rows of `tokens` densely and returns the last one's logits. */
export function prefillRows(weights: ToyWeights, state: ToyState, tokens: ArrayLike<number>): Float32Array {
  const start = state.tokens.length
  let hidden = Array.from(tokens, (token) => embed(weights, token))
  state.layers.forEach((rows, layer) => {
    hidden = hidden.map((row, at) => {
      const queries = writeRow(weights, rows, layer, row, start + at)
      const held = heldIndices(state, start + at + 1)
      return finishLayer(
        weights.layers[layer],
        row,
        attend(queries, rows, () => held),
      )
    })
  })
  if (state.exactTokens === start && state.evicted.length === 0) state.exactTokens += tokens.length
  state.tokens.push(...Array.from(tokens))
  return logitsOf(weights, hidden[hidden.length - 1])
}

/** Computes the row of one token, reading what the policy selects, and returns its logits. */
export function decodeRow(weights: ToyWeights, state: ToyState, token: number): Float32Array {
  const index = state.tokens.length
  const ofStep = state.effects?.selectScope === 'layer' ? null : select(state, null, null)
  let hidden = embed(weights, token)
  state.layers.forEach((rows, layer) => {
    const queries = writeRow(weights, rows, layer, hidden, index)
    const selection = ofStep ?? select(state, layer, queries)
    const indices = Array.from({ length: numKvHeads }, (_, kvHead) =>
      indicesOfHead(state, selection, kvHead, index + 1),
    )
    for (const { length } of indices) state.attendedTokens += length
    hidden = finishLayer(
      weights.layers[layer],
      hidden,
      attend(queries, rows, (kvHead) => indices[kvHead]),
    )
  })
  state.tokens.push(token)
  state.decodeSteps++
  return logitsOf(weights, hidden)
}

/**
 * Takes over the rows that the plan borrows, keys turned to their new positions, then computes the rows that each layer
 * asks for, and returns the last one's logits. The sequence must be empty.
 */
export function adoptRows(
  weights: ToyWeights,
  state: ToyState,
  tokens: Int32Array,
  plan: ReusePlan,
  donors: ReadonlyMap<string, ToyDonor>,
): Float32Array {
  for (const piece of plan.pieces) copyPiece(state, piece, donors.get(piece.donor))
  const hidden = Array.from(tokens, (token) => embed(weights, token))
  let set: RowSet = plan.recompute
  state.layers.forEach((rows, layer) => {
    const deviations = Float32Array.from(set.rows, (index) => {
      const lent = rows.keys[index]
      const queries = writeRow(weights, rows, layer, hidden[index], index)
      const held = heldIndices(state, index + 1)
      hidden[index] = finishLayer(
        weights.layers[layer],
        hidden[index],
        attend(queries, rows, () => held),
      )
      return lent === undefined ? 0 : relativeDistance(lent, rows.keys[index])
    })
    if (layer + 1 < numLayers && state.session) set = state.session.recompute({ layer, rows: set, deviations })
  })
  if (plan.provenance.kind === 'exact') state.exactTokens = tokens.length
  state.tokens.push(...tokens)
  return logitsOf(weights, hidden[tokens.length - 1])
}

/** True if every piece's donor is there; throws a ScopeError if one belongs to somebody else. */
export function canAdopt(state: ToyState, plan: ReusePlan, donors: ReadonlyMap<string, ToyDonor>): boolean {
  return plan.pieces.every(({ donor, donorStart, start, end }) => {
    const found = donors.get(donor)
    if (found === undefined) return false
    if (!sameScope(found.scope, state.scope)) {
      throw new ScopeError({ parameter: 'plan.donor', expected: 'a donor of the same scope', got: donor })
    }
    const last = donorStart + end - start
    if (found.spans.some((span) => span.start <= donorStart && span.end >= last)) return true
    throw new PlanError({ parameter: 'plan.pieces', expected: 'published rows', got: [donorStart, last] })
  })
}

function copyPiece(state: ToyState, { start, end, donorStart }: ReusePlan['pieces'][number], donor?: ToyDonor): void {
  state.layers.forEach((rows, layer) => {
    for (let index = start; index < end; index++) {
      const from = donorStart + index - start
      rows.keys[index] = turn(donor!.layers[layer].keys[from], index - from)
      rows.values[index] = donor!.layers[layer].values[from]
    }
  })
}

/** Stores the KV row of `index` and returns its queries. */
function writeRow(
  weights: ToyWeights,
  rows: ToyRows,
  layer: number,
  hidden: Float64Array,
  index: number,
): Float32Array {
  const { queries, keys, values } = project(weights.layers[layer], hidden, index)
  rows.keys[index] = keys
  rows.values[index] = values
  return queries
}

function select(state: ToyState, layer: number | null, queries: Float32Array | null): Selection {
  if (state.session === null) return { kind: 'all' }
  const numTokens = state.tokens.length + 1
  // At scope step the current row is not there yet.
  const kv = readToyRows(state, layer === null ? numTokens - 1 : numTokens)
  return state.session.select({ layer, numTokens, queries, kv })
}

function indicesOfHead(state: ToyState, selection: Selection, kvHead: number, numTokens: number): ArrayLike<number> {
  return selection.kind === 'runs' ? indicesOfRow(selection.runs, kvHead) : heldIndices(state, numTokens)
}

/** Indices in [0, numTokens) that were not evicted. */
function heldIndices(state: ToyState, numTokens: number): ArrayLike<number> {
  const held = new Int32Array(numTokens)
  let count = 0
  for (const { start, end } of complementSpans(state.evicted, numTokens)) {
    for (let index = start; index < end; index++) held[count++] = index
  }
  return held.subarray(0, count)
}

function relativeDistance(lent: Float32Array, computed: Float32Array): number {
  let distance = 0
  let norm = 0
  for (let i = 0; i < computed.length; i++) {
    distance += (lent[i] - computed[i]) ** 2
    norm += computed[i] ** 2
  }
  return Math.sqrt(distance / norm)
}

/** Frees the rows of `spans`. */
export function evictRows(state: ToyState, spans: readonly Span[]): void {
  if (spans.length === 0) return
  state.evicted = mergeSpans(state.evicted, spans)
  for (const { keys, values } of state.layers) {
    for (const { start, end } of spans) {
      for (let index = start; index < end; index++) {
        keys[index] = new Float32Array(keys[index].length)
        values[index] = new Float32Array(values[index].length)
      }
    }
  }
}

export function rewindRows(state: ToyState, numTokens: number): void {
  state.tokens.length = numTokens
  state.exactTokens = Math.min(state.exactTokens, numTokens)
  state.evicted = state.evicted
    .filter(({ start }) => start < numTokens)
    .map(({ start, end }) => ({ start, end: Math.min(end, numTokens) }))
  for (const { keys, values } of state.layers) {
    keys.length = numTokens
    values.length = numTokens
  }
}
