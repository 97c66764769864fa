import type { GramTable } from './gram-table.ts'

/** Target rows [start, end) hold the tokens of a donor's rows from donorStart on. */
export interface Match {
  readonly start: number
  readonly end: number
  /** Index of the donor. */
  readonly donor: number
  readonly donorStart: number
  /** Rows of the `contextTokens` before the match that hold the donor's tokens as well. */
  readonly sameContext: number
}

/** Rows of one bucket that are looked at, a donor and target row. */
const chainRows = 32
/** Looks and compared tokens at most: so many, and so many times the length of target and donors together. */
const freeCompares = 50_000
const comparesPerToken = 12
const contextTokens = 32

/**
 * Longest matches of at least `gramTokens` tokens, by where they start; none lies within another one of them. Hashes only
 * propose: every token of a match was compared. On repetitive text the work is cut short, and matches may be missed.
 */
export function findMatches(
  target: Int32Array,
  hashes: Uint32Array,
  tables: readonly GramTable[],
  gramTokens: number,
): Match[] {
  const search: Search = { target, tables, gramTokens, left: 0 }
  const texts = tables.reduce((sum, { tokens }) => sum + tokens.length, target.length)
  search.left = freeCompares + comparesPerToken * texts
  const found: Match[] = []
  let reach = 0
  for (let row = 0; row < hashes.length && search.left > 0; row++) {
    const best = bestMatch(search, row, hashes[row], reach)
    if (best === null) continue
    found.push(best)
    reach = best.end
  }
  return found
}

interface Search {
  readonly target: Int32Array
  readonly tables: readonly GramTable[]
  readonly gramTokens: number
  /** Looks and compares that may still be made. */
  left: number
}

/** The best match through the gram at `row` that ends behind `reach`, up to which an earlier match goes on. */
function bestMatch(search: Search, row: number, hash: number, reach: number): Match | null {
  const { target, tables } = search
  const ahead = Math.max(0, reach - row)
  if (row + ahead >= target.length) return null
  let best: Match | null = null
  for (let donor = 0; donor < tables.length; donor++) {
    const { tokens, hashes, first, next } = tables[donor]
    let at = first[hash & (first.length - 1)]
    for (let looks = chainRows; at >= 0 && looks > 0; looks--, at = next[at]) {
      search.left--
      if (hashes[at] !== hash || at + ahead >= tokens.length) continue
      if (target[row + ahead] !== tokens[at + ahead]) continue
      const match = extend(search, row, donor, at, reach, best)
      if (match !== null && (best === null || isBetter(match, best))) best = match
    }
  }
  return best
}

/**
 * The longest match that runs through `row` of the target and `at` of the donor; null if it is shorter than a gram or than
 * `best`, or does not go beyond `reach`.
 */
function extend(
  search: Search,
  row: number,
  donor: number,
  at: number,
  reach: number,
  best: Match | null,
): Match | null {
  const { target, gramTokens } = search
  const { tokens } = search.tables[donor]
  const most = Math.min(target.length - row, tokens.length - at)
  let ahead = 0
  while (ahead < most && target[row + ahead] === tokens[at + ahead]) ahead++
  search.left -= ahead
  if (ahead < gramTokens || row + ahead <= reach) return null
  const least = Math.min(row, at)
  let back = 0
  while (back < least && target[row - back - 1] === tokens[at - back - 1]) back++
  search.left -= back
  if (best !== null && ahead + back < best.end - best.start) return null
  const [start, donorStart] = [row - back, at - back]
  return { start, end: row + ahead, donor, donorStart, sameContext: countContext(target, tokens, start, donorStart) }
}

function countContext(target: Int32Array, tokens: Int32Array, start: number, donorStart: number): number {
  const most = Math.min(start, donorStart, contextTokens)
  let same = 0
  for (let back = 1; back <= most; back++) if (target[start - back] === tokens[donorStart - back]) same++
  return same
}

/** Longer; then with more of its context the same; then less far moved; then of an earlier donor. */
export function isBetter(a: Match, b: Match): boolean {
  const longer = a.end - a.start - (b.end - b.start)
  if (longer !== 0) return longer > 0
  if (a.sameContext !== b.sameContext) return a.sameContext > b.sameContext
  const nearer = Math.abs(a.start - a.donorStart) - Math.abs(b.start - b.donorStart)
  return nearer !== 0 ? nearer < 0 : a.donor < b.donor
}
