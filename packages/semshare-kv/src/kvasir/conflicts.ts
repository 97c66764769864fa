import type { BorrowedPiece } from '@kvasir/core'

/** Longer gaps are other text, not another wording of the same. */
const maxGapTokens = 48

/**
 * Places between two runs of one donor where the prompt has something else than the donor, and tokens that carry facts are
 * among it: there the donor's rows may know another fact than the prompt.
 */
export function countConflicts(runs: readonly BorrowedPiece[], facts: Uint8Array): number {
  let conflicts = 0
  for (let i = 1; i < runs.length; i++) {
    const [before, after] = [runs[i - 1], runs[i]]
    const donorGap = after.donorStart - (before.donorStart + before.end - before.start)
    if (before.donor !== after.donor || donorGap <= 0 || donorGap > maxGapTokens) continue
    if (after.start - before.end > maxGapTokens) continue
    if (facts.subarray(before.end, after.start).includes(1)) conflicts++
  }
  return conflicts
}
