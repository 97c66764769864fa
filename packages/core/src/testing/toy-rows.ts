import type { GuardedSession } from '../guard.ts'
import type { BorrowedPiece, Decline, MovedSpan, ReusePlan, RowSet, Selection } from '../plans.ts'
import type { Effects } from '../policy.ts'
import { indicesOfRow, type RunList } from '../run-list.ts'
import type { Scope } from '../scope.ts'
import type { Span } from '../segment.ts'
import { complementSpans, mergeSpans } from '../spans.ts'
import type { LayerReport } from '../views.ts'
import type { LentRows } from './toy-donors.ts'
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

export interface ToyBorrowing {
  readonly tokens: Int32Array
  readonly plan: ReusePlan
  readonly lent: ReadonlyMap<string, LentRows>
  readonly signal?: AbortSignal
}

/**
 * Takes over the rows that the plan borrows, then computes the rows that each layer asks for, and returns the last one's
 * logits; the policy's decline, if it gives up on the way. The sequence must be empty.
 */
export function adoptRows(
  weights: ToyWeights,
  state: ToyState,
  { tokens, plan, lent, signal }: ToyBorrowing,
): Float32Array | Decline {
  for (const piece of plan.pieces) copyPiece(state, piece, lent.get(piece.donor)!, plan.keys !== 'stored')
  const hidden = Array.from(tokens, (token) => embed(weights, token))
  let set: RowSet = plan.recompute
  let declined: Decline | null = null
  state.layers.forEach((rows, layer) => {
    const lentRows = Array.from(set.rows, (index) => [rows.keys[index], rows.values[index]] as const)
    for (const index of set.rows) {
      const queries = writeRow(weights, rows, layer, hidden[index], index)
      rows.queries[index] = queries
      const held = heldRows(state, layer, index + 1)
      hidden[index] = finishLayer(weights.layers[layer], hidden[index], attend(queries, rows, held))
    }
    const asked = layer + 1 < numLayers && layer < (plan.watchLayers ?? numLayers)
    if (declined !== null || !asked || state.session === null) return
    const next = state.session.recompute({ layer, rows: set, ...distancesOf(set, lentRows, rows) })
    signal?.throwIfAborted()
    if ('kind' in next) declined = next
    else set = next
  })
  if (declined !== null) return declined
  if (plan.provenance.kind === 'exact') state.exactTokens = tokens.length
  state.tokens.push(...tokens)
  return logitsOf(weights, hidden[tokens.length - 1])
}

function copyPiece(state: ToyState, { start, end, donorStart }: BorrowedPiece, lent: LentRows, turned: boolean): void {
  state.layers.forEach((rows, layer) => {
    const { keys, values } = lent.layers[layer]
    for (let index = start; index < end; index++) {
      const from = donorStart + index - start
      rows.keys[index] = turned ? turn(keys[from], index - from) : keys[from]
      rows.values[index] = values[from]
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

/** `distances` and `deviations` of a LayerReport. */
function distancesOf(
  { rows: set }: RowSet,
  lent: readonly (readonly [Float32Array | undefined, Float32Array | undefined])[],
  { keys, values }: ToyRows,
): Pick<LayerReport, 'distances' | 'deviations'> {
  const distances = new Float32Array(set.length)
  const deviations = new Float32Array(set.length)
  set.forEach((index, at) => {
    const [lentKeys, lentValues] = lent[at]
    distances[at] = distance(lentKeys, keys[index]) + distance(lentValues, values[index])
    deviations[at] = distances[at] / (Math.hypot(...keys[index]) + Math.hypot(...values[index]))
  })
  return { distances, deviations }
}

function distance(lent: Float32Array | undefined, computed: Float32Array): number {
  return lent === undefined ? Number.POSITIVE_INFINITY : Math.hypot(...computed.map((value, i) => value - lent[i]))
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
