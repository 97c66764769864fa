import { bestIndices, type Span } from '@kvasir/core'

/** The rows of one KV head that may be chosen. */
export interface WeighedRows {
  /** Ascending indices. */
  readonly rows: Int32Array
  /** Of each row its worth, at least 0. */
  readonly mass: Float64Array
}

/** A sentence as far as it may be chosen: places [start, end) of the rows of a head. */
interface Candidate {
  readonly head: number
  readonly start: number
  readonly end: number
  /** Mean worth of a row. */
  readonly density: number
}

/**
 * Of each head the rows of whole sentences, `room` rows of all heads together: sentences by their worth a row, and of the
 * first one that does not fit its best rows. No choice of whole sentences has more worth (Dantzig's bound, 1957).
 * `sentences` follow each other and hold all rows.
 */
export function chooseSentences(heads: readonly WeighedRows[], sentences: readonly Span[], room: number): Int32Array[] {
  const candidates = heads.flatMap((head, at) => candidatesOf(head, at, sentences))
  candidates.sort((a, b) => b.density - a.density || a.head - b.head || a.start - b.start)
  const chosen = heads.map((): Int32Array[] => [])
  let left = room
  for (const { head, start, end } of candidates) {
    if (left <= 0) break
    const { rows, mass } = heads[head]
    const best = bestIndices(rows.subarray(start, end), mass.subarray(start, end), left)
    chosen[head].push(best)
    left -= best.length
  }
  return chosen.map(ascending)
}

function candidatesOf({ rows, mass }: WeighedRows, head: number, sentences: readonly Span[]): Candidate[] {
  const candidates: Candidate[] = []
  let start = 0
  for (const sentence of sentences) {
    let sum = 0
    let end = start
    for (; end < rows.length && rows[end] < sentence.end; end++) sum += mass[end]
    if (end > start) candidates.push({ head, start, end, density: sum / (end - start) })
    start = end
  }
  return candidates
}

/** Rows of sentences, each ascending, as one ascending list. */
function ascending(sentences: readonly Int32Array[]): Int32Array {
  const rows = new Int32Array(sentences.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const sentence of sentences) {
    rows.set(sentence, at)
    at += sentence.length
  }
  return rows.sort()
}
