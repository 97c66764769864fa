import type { BorrowedPiece } from '@kvasir/core'
import type { DonorTokens } from '../align/align-runs.ts'

/** Donor rows to each side of the expected one that are looked at. */
const bandRows = 8
/** Longer gaps are other text. */
const maxGapTokens = 64

export interface FuzzyRequest {
  readonly tokens: Int32Array
  /** Runs of equal tokens, ascending. */
  readonly runs: readonly BorrowedPiece[]
  readonly donors: readonly DonorTokens[]
  /** [numTokens]: 1 for tokens that are never matched. */
  readonly facts: Uint8Array
  /** [ids.length][dim] */
  readonly embeddings: (ids: Int32Array) => Float32Array
}

interface FuzzyRow extends BorrowedPiece {
  readonly cosine: number
}

/**
 * Single rows that are borrowed from other tokens: inside a gap between two runs of one donor, a token takes the row of the
 * donor's token in the same gap whose embedding has the largest cosine to its own, near the place where it is expected and
 * behind the one before. At most `count`, those of the largest cosine, ascending.
 */
export function fuzzyRows(request: FuzzyRequest, minCosine: number, count: number): BorrowedPiece[] {
  if (count < 1) return []
  const { runs } = request
  const rows = runs.slice(1).flatMap((after, at) => rowsOfGap(request, runs[at], after, minCosine))
  const best = rows.sort((a, b) => b.cosine - a.cosine || a.start - b.start).slice(0, count)
  return best.sort((a, b) => a.start - b.start).map(({ cosine: _, ...piece }) => piece)
}

function rowsOfGap(request: FuzzyRequest, before: BorrowedPiece, after: BorrowedPiece, minCosine: number): FuzzyRow[] {
  const { tokens, donors, facts, embeddings } = request
  const donorStart = before.donorStart + before.end - before.start
  const [length, donorLength] = [after.start - before.end, after.donorStart - donorStart]
  const donor = donors.find(({ id }) => id === before.donor)
  if (!donor || before.donor !== after.donor || length < 1 || donorLength < 1) return []
  if (Math.max(length, donorLength) > maxGapTokens) return []
  const own = embeddings(tokens.slice(before.end, after.start))
  const lent = embeddings(donor.tokens.slice(donorStart, after.donorStart))
  const dim = own.length / length
  const found: FuzzyRow[] = []
  let least = 0
  for (let i = 0; i < length; i++) {
    if (facts[before.end + i] === 1) continue
    const expected = Math.floor(((i + 0.5) * donorLength) / length)
    let [best, most] = [-1, minCosine]
    for (let j = Math.max(least, expected - bandRows); j <= Math.min(donorLength - 1, expected + bandRows); j++) {
      const cosine = cosineOf(own, i * dim, lent, j * dim, dim)
      if (cosine > most || (best < 0 && cosine === most)) [best, most] = [j, cosine]
    }
    if (best < 0) continue
    least = best + 1
    const start = before.end + i
    found.push({ start, end: start + 1, donor: before.donor, donorStart: donorStart + best, cosine: most })
  }
  return found
}

function cosineOf(a: Float32Array, aAt: number, b: Float32Array, bAt: number, dim: number): number {
  let [dot, aa, bb] = [0, 0, 0]
  for (let i = 0; i < dim; i++) {
    const [x, y] = [a[aAt + i], b[bAt + i]]
    dot += x * y
    aa += x * x
    bb += y * y
  }
  return dot / (Math.sqrt(aa * bb) || 1)
}
