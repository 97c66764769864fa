import { rowsOutside, type Span } from '@kvasir/core'
import { bestRanked, type RankedRows, sharesOf } from './ranked-rows.ts'

/** The rows that one prompt left, ranked when it ended. */
export interface Turn {
  /** Rows that stood before the prompt. */
  readonly start: number
  readonly end: number
  /** Rows from here on are not ranked: the last of the prompt, and whatever comes after it. */
  readonly tailStart: number
  readonly layers: readonly RankedLayer[]
}

export interface RankedLayer {
  readonly heads: readonly RankedRows[]
  /** Where heads share: the heads of the rows of all heads, best first. */
  readonly order: Int32Array | null
}

/** The ranked rows that each head of a layer keeps where there is room for `room` a head, ascending. */
export function keptRows({ heads, order }: RankedLayer, room: number, floorShare?: number): Int32Array[] {
  const shares = sharesOf(heads.length, room, order, floorShare)
  return heads.map((head, at) => bestRanked(head, shares[at]))
}

/** The turn with nothing but the rows that each head keeps: the others are gone for good. */
export function dropRest(turn: Turn, roomOf: (layer: number) => number, floorShare?: number): Turn {
  const layers = turn.layers.map((layer, at): RankedLayer => {
    const kept = keptRows(layer, roomOf(at), floorShare)
    return { heads: kept.map(alike), order: null }
  })
  return { ...turn, layers }
}

/** What is left of a turn whose rest is gone, once the sequence is cut to numTokens. */
export function cutTurn(turn: Turn, numTokens: number): Turn {
  if (numTokens >= turn.end) return turn
  const layers = turn.layers.map(({ heads }): RankedLayer => {
    return { heads: heads.map(({ rows }) => alike(rows.filter((row) => row < numTokens))), order: null }
  })
  return { ...turn, end: numTokens, tailStart: Math.min(turn.tailStart, numTokens), layers }
}

/** Rows between which nothing chooses any more. */
function alike(rows: Int32Array): RankedRows {
  return { rows, ranks: new Int32Array(rows.length), scores: new Float64Array(rows.length) }
}

/**
 * Rows in [sinks, tailStart) to rank: those that were held at a length of numTokens, and all that came after it; dropped
 * ones left out.
 */
export function candidateRows(
  held: Int32Array,
  numTokens: number,
  sinks: number,
  tailStart: number,
  dropped: readonly Span[],
): Int32Array {
  const old = held.filter((row) => row >= sinks && row < tailStart)
  const first = Math.max(numTokens, sinks)
  const rows = new Int32Array(old.length + Math.max(0, tailStart - first))
  rows.set(old)
  for (let at = old.length, row = first; row < tailStart; at++, row++) rows[at] = row
  return rowsOutside(rows, dropped)
}

/** [0, sinks), the rows, [tail, end). */
export function joinRows(sinks: number, rows: Int32Array, tail: number, end: number): Int32Array {
  const joined = new Int32Array(sinks + rows.length + end - tail)
  for (let at = 0; at < sinks; at++) joined[at] = at
  joined.set(rows, sinks)
  for (let at = sinks + rows.length, row = tail; row < end; at++, row++) joined[at] = row
  return joined
}
