/**
 * Share of the target's tokens that lie in a run of at least `runTokens` tokens which the donor has as well, anywhere:
 * what exact reuse could borrow at most.
 */
export function exactShare(target: Int32Array, donor: Int32Array, runTokens = 5): number {
  const grams = new Set<string>()
  for (let at = 0; at + runTokens <= donor.length; at++) grams.add(donor.subarray(at, at + runTokens).join())
  let covered = 0
  // First token that no run found so far reaches.
  let end = 0
  for (let at = 0; at + runTokens <= target.length; at++) {
    if (!grams.has(target.subarray(at, at + runTokens).join())) continue
    covered += at + runTokens - Math.max(end, at)
    end = at + runTokens
  }
  return covered / target.length
}
