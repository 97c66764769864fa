import { countBits } from './signature-bands.ts'

/** What one donor holds of a target's sampled shingles. */
export interface Overlap {
  /** Of the donor. */
  readonly slot: number
  /** A bit a shingle of the target, [ceil(numShingles / 32)]. */
  readonly held: Uint32Array
  /** Bits set in `held`. */
  readonly count: number
}

export interface Chosen {
  readonly slot: number
  readonly count: number
  /** Shingles that those chosen before do not hold. */
  readonly added: number
}

/** Which of the target's shingles a donor holds; both lists ascend. */
export function overlapOf(slot: number, target: Uint32Array, donor: Uint32Array): Overlap {
  const held = new Uint32Array(Math.ceil(target.length / 32))
  let count = 0
  let at = 0
  const far = donor.length > 8 * target.length
  for (let shingle = 0; shingle < target.length && at < donor.length; shingle++) {
    const tag = target[shingle]
    if (far) at = firstNotBelow(donor, tag, at)
    else while (at < donor.length && donor[at] < tag) at++
    if (donor[at] !== tag) continue
    held[shingle >>> 5] |= 1 << (shingle & 31)
    count++
  }
  return { slot, held, count }
}

function firstNotBelow(ascending: Uint32Array, value: number, from: number): number {
  let [low, high] = [from, ascending.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * At most `limit` donors, each the one that adds most to those before it (Nemhauser et al. 1978 bound what greedy cover
 * loses), of equals the one that holds most. A target made of several prompts so gets a donor for each.
 */
export function chooseDonors(overlaps: readonly Overlap[], limit: number): Chosen[] {
  const left = overlaps.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count)
  const covered = new Uint32Array(left[0]?.held.length ?? 0)
  const chosen: Chosen[] = []
  while (chosen.length < limit && left.length > 0) {
    let [best, added] = [0, -1]
    left.forEach(({ held, count }, at) => {
      // No more than it holds.
      if (count <= added) return
      let gain = 0
      for (let word = 0; word < held.length; word++) gain += countBits(held[word] & ~covered[word])
      if (gain > added) [best, added] = [at, gain]
    })
    const [{ slot, held, count }] = left.splice(best, 1)
    held.forEach((bits, word) => {
      covered[word] |= bits
    })
    chosen.push({ slot, count, added })
  }
  return chosen
}
