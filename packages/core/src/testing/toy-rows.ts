import { PlanError, ScopeError } from '../errors.ts'
import type { GuardedSession } from '../guard.ts'
import type { MovedSpan, ReusePlan, RowSet, Selection } from '../plans.ts'
import type { Effects } from '../policy.ts'
import { indicesOfRow, type RunList } from '../run-list.ts'
import { type Scope, sameScope } from '../scope.ts'
import type { Span } from '../segment.ts'
import { complementSpans, mergeSpans } from '../spans.ts'
import {
  attend,
  attentionWeights,
  embed,
  finishLayer,
  kvHeadOf,
  logitsOf,
  project,
  type ToyRows,
  turn,
} from './toy-model.ts'
import { readToyRows } from './toy-reader.ts'
import { numHeads, numKvHeads, numLayers, type ToyWeights } from './toy-weights.ts'

const groupHeads = numHeads / numKvHeads

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
  /** [layer][kvHead]: rows that retain plans dropped for that head alone. */
  readonly dropped: readonly (readonly Set<number>[])[]
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
      rows.queries[start + at] = queries
      const held = heldRows(state, layer, start + at + 1)
      return finishLayer(weights.layers[layer], row, attend(queries, rows, held))
    })
  })
  if (state.exactTokens === start && state.evicted.length === 0) state.exactTokens += tokens.length
  state.tokens.push(...Array.from(tokens))
  return logitsOf(weights, hidden[hidden.length - 1])
}

/** Computes the row of one token, reading what the policy selects, and returns its logits. */
export function decodeRow(weights: ToyWeights, state: ToyState, token: number): Float32Array {
  const index = state.tokens.length
  const piece = new TextDecoder().decode(Uint8Array.of(token))
  const ofStep = state.effects?.selectScope === 'layer' ? null : select(state, null, null, piece)
  let hidden = embed(weights, token)
  state.layers.forEach((rows, layer) => {
    const queries = writeRow(weights, rows, layer, hidden, index)
    const selection = ofStep ?? select(state, layer, queries, piece)
    const chosen = selection.kind === 'runs' ? chosenRows(state, layer, selection) : heldRows(state, layer, index + 1)
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) state.attendedTokens += chosen(kvHead * groupHeads).length
    const moved = selection.kind === 'runs' ? moveKeys(rows, selection.moved ?? []) : rows
    hidden = finishLayer(weights.layers[layer], hidden, attend(queries, moved, chosen))
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
      rows.queries[index] = queries
      const held = heldRows(state, layer, index + 1)
      hidden[index] = finishLayer(weights.layers[layer], hidden[index], attend(queries, rows, held))
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

function select(state: ToyState, layer: number | null, queries: Float32Array | null, piece: string): Selection {
  if (state.session === null) return { kind: 'all' }
  const numTokens = state.tokens.length + 1
  // At scope step the current row is not there yet.
  const kv = readToyRows(state, layer === null ? numTokens - 1 : numTokens)
  if (layer === null || queries === null) return state.session.select({ layer, numTokens, queries, piece, kv })
  const weights = (kvHead: number, indices: Int32Array) =>
    weightsOfGroup(queries, kvHead, state.layers[layer].keys, indices)
  return state.session.select({ layer, numTokens, queries, piece, kv, weights })
}

/** [groupHeads][indices.length] */
function weightsOfGroup(
  queries: Float32Array,
  kvHead: number,
  keys: readonly Float32Array[],
  indices: Int32Array,
): Float32Array {
  const all = new Float32Array(groupHeads * indices.length)
  for (let head = 0; head < groupHeads; head++) {
    all.set(attentionWeights(queries, kvHead * groupHeads + head, keys, indices), head * indices.length)
  }
  return all
}

type RowsOfHead = (head: number) => ArrayLike<number>

/** What each query head reads where everything held is read. */
export function heldRows(state: Pick<ToyState, 'evicted' | 'dropped'>, layer: number, numTokens: number): RowsOfHead {
  const held = heldIndices(state, numTokens)
  const rows = state.dropped[layer].map((dropped) =>
    dropped.size === 0 ? held : held.filter((row) => !dropped.has(row)),
  )
  return (head) => rows[kvHeadOf(head)]
}

/** What each query head reads of a selection: its own row of the list, or its KV head's, without what was dropped. */
function chosenRows(state: ToyState, layer: number, { runs }: Selection & { kind: 'runs' }): RowsOfHead {
  const perQueryHead = runs.rowStarts.length === numHeads + 1
  const rows = Array.from({ length: numHeads }, (_, head) =>
    indicesOfRow(runs, perQueryHead ? head : kvHeadOf(head)).filter(
      (row) => !state.dropped[layer][kvHeadOf(head)].has(row),
    ),
  )
  return (head) => rows[head]
}

/** The rows with the keys of `spans` turned to where they are read as standing. */
function moveKeys(rows: ToyRows, spans: readonly MovedSpan[]): Pick<ToyRows, 'keys' | 'values'> {
  if (spans.length === 0) return rows
  const keys = [...rows.keys]
  for (const { start, end, by } of spans) {
    for (let index = start; index < end; index++) keys[index] = turn(keys[index], by)
  }
  return { keys, values: rows.values }
}

/** Indices in [0, numTokens) that were not evicted. */
function heldIndices(state: Pick<ToyState, 'evicted'>, numTokens: number): Int32Array {
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

export function copyRows({ queries, keys, values }: ToyRows): ToyRows {
  return { queries: [...queries], keys: [...keys], values: [...values] }
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

/** Drops the rows that a plan does not keep, each KV head for itself. */
export function keepRows(state: ToyState, keep: readonly RunList[], numTokens: number): void {
  keep.forEach((list, layer) => {
    state.dropped[layer].forEach((dropped, kvHead) => {
      const kept = new Set(indicesOfRow(list, kvHead))
      for (let index = 0; index < numTokens; index++) if (!kept.has(index)) dropped.add(index)
    })
  })
}

export function rewindRows(state: ToyState, numTokens: number): void {
  state.tokens.length = numTokens
  state.exactTokens = Math.min(state.exactTokens, numTokens)
  state.evicted = state.evicted
    .filter(({ start }) => start < numTokens)
    .map(({ start, end }) => ({ start, end: Math.min(end, numTokens) }))
  for (const heads of state.dropped) {
    for (const dropped of heads) for (const index of dropped) if (index >= numTokens) dropped.delete(index)
  }
  for (const { queries, keys, values } of state.layers) {
    queries.length = numTokens
    keys.length = numTokens
    values.length = numTokens
  }
}
