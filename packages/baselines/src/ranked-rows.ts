import { bestIndices } from '@kvasir/core'

/** The best rows of one KV head. */
export interface RankedRows {
  /** Ascending indices. */
  readonly rows: Int32Array
  /** Of each row its place in the order by score; 0 is the best. */
  readonly ranks: Int32Array
  /** Descending: the scores by rank. */
  readonly scores: Float64Array
}

/** The `count` of `rows` (ascending) with the highest `scores` [index]; of equal ones the lower indices. */
export function rankRows(rows: Int32Array, scores: Float32Array, count: number): RankedRows {
  const ofRows = Float64Array.from(rows, (row) => scores[row])
  const places = Int32Array.from(rows.keys())
  const best = bestIndices(places, ofRows, count)
  const order = Array.from(best).sort((a, b) => ofRows[b] - ofRows[a] || a - b)
  const rankAt = new Map(order.map((place, rank) => [place, rank]))
  return {
    rows: Int32Array.from(best, (place) => rows[place]),
    ranks: Int32Array.from(best, (place) => rankAt.get(place) as number),
    scores: Float64Array.from(order, (place) => ofRows[place]),
  }
}

/** The rows of the `count` best ranks, ascending. */
export function bestRanked({ rows, ranks }: RankedRows, count: number): Int32Array {
  return count >= rows.length ? rows : rows.filter((_, at) => ranks[at] < count)
}

/** The heads in the order in which their rows stand when those of all heads are ordered by score: [rows of all heads]. */
export function orderHeads(heads: readonly RankedRows[]): Int32Array {
  const next = new Int32Array(heads.length)
  const order = new Int32Array(heads.reduce((sum, { scores }) => sum + scores.length, 0))
  for (let at = 0; at < order.length; at++) {
    let best = -1
    for (let head = 0; head < heads.length; head++) {
      if (next[head] === heads[head].scores.length) continue
      if (best < 0 || heads[head].scores[next[head]] > heads[best].scores[next[best]]) best = head
    }
    next[best]++
    order[at] = best
  }
  return order
}

/**
 * How many of its rows each head keeps where there is room for `room` a head. With an `order` of the heads of all rows by
 * score, a head keeps `floorShare` of its even share; the rest goes to the best rows of any head (Feng et al. 2024).
 */
export function sharesOf(numHeads: number, room: number, order: Int32Array | null, floorShare = 1): number[] {
  const shares = new Array<number>(numHeads).fill(room)
  if (order === null) return shares
  const best = new Int32Array(numHeads)
  for (let at = 0; at < Math.min(order.length, room * numHeads); at++) best[order[at]]++
  let left = room * numHeads
  for (let head = 0; head < numHeads; head++) {
    shares[head] = Math.floor(floorShare * room + (1 - floorShare) * best[head])
    left -= shares[head]
  }
  for (let head = 0; head < numHeads && left > 0; head++, left--) shares[head]++
  return shares
}
