/** How token lists are cut into shingles and which of those are kept. */
export interface ShingleRule {
  /** [8] words of the scope's key. */
  readonly key: Uint32Array
  /** Consecutive tokens of a shingle. */
  readonly shingleTokens: number
  /** One shingle in so many is kept, and of few at least 16. */
  readonly sampleEvery: number
}

/** Short prompts, and long ones that repeat themselves, have so few that a share of them may be none. */
const fewestKept = 16

/**
 * Hashes of the shingles of `tokens` that the rule keeps, ascending and distinct. A shingle is kept or not by its own hash
 * (FracMinHash: Irber et al. 2022, bioRxiv 2022.01.11.475838), so two lists keep the same shingles of what they share,
 * wherever it stands in them; a list of few shingles keeps more of them. Of more than `max` only those of the least rank
 * come back, which is a sample of the sample.
 */
export function sampleShingles(
  tokens: ArrayLike<number>,
  rule: ShingleRule,
  max = Number.POSITIVE_INFINITY,
): Uint32Array {
  const { tags, ranks } = hashShingles(tokens, rule, 2 ** 32 / rule.sampleEvery)
  const kept = distinct(tags.length > max ? ofLeastRank(tags, ranks, max) : tags)
  if (kept.length >= Math.min(fewestKept, max) || rule.sampleEvery === 1) return kept
  const all = hashShingles(tokens, rule, 2 ** 32)
  const tagOf = new Map(all.ranks.map((rank, at) => [rank, all.tags[at]]))
  const least = Float64Array.from(tagOf.keys()).sort().subarray(0, Math.min(fewestKept, max))
  return distinct(Array.from(least, (rank) => tagOf.get(rank) as number))
}

/** Tag and rank of each shingle whose rank is below `end`. */
function hashShingles(tokens: ArrayLike<number>, { key, shingleTokens }: ShingleRule, end: number) {
  const tags: number[] = []
  const ranks: number[] = []
  // Two rolling polynomials modulo 2^32 over keyed hashes of the tokens, with keyed odd bases.
  const [baseA, baseB] = [key[0] | 1, key[1] | 1]
  const [dropA, dropB] = [power(baseA, shingleTokens), power(baseB, shingleTokens)]
  const recentA = new Int32Array(shingleTokens)
  const recentB = new Int32Array(shingleTokens)
  let [a, b] = [0, 0]
  for (let at = 0, place = 0; at < tokens.length; at++) {
    const nextA = mix(tokens[at] ^ key[2])
    const nextB = mix(tokens[at] ^ key[3])
    a = (Math.imul(a, baseA) + nextA - Math.imul(recentA[place], dropA)) | 0
    b = (Math.imul(b, baseB) + nextB - Math.imul(recentB[place], dropB)) | 0
    recentA[place] = nextA
    recentB[place] = nextB
    place = place + 1 === shingleTokens ? 0 : place + 1
    if (at + 1 < shingleTokens) continue
    const rank = mix(a ^ mix(b ^ key[4])) >>> 0
    if (rank >= end) continue
    ranks.push(rank)
    tags.push(mix(b ^ mix(a ^ key[5])) >>> 0)
  }
  return { tags, ranks }
}

function ofLeastRank(tags: readonly number[], ranks: readonly number[], count: number): number[] {
  const limit = Float64Array.from(ranks).sort()[count]
  return tags.filter((_, at) => ranks[at] < limit)
}

function distinct(tags: readonly number[]): Uint32Array {
  const sorted = Uint32Array.from(tags).sort()
  let filled = 0
  for (let at = 0; at < sorted.length; at++) {
    if (at === 0 || sorted[at] !== sorted[at - 1]) sorted[filled++] = sorted[at]
  }
  return sorted.slice(0, filled)
}

function power(base: number, exponent: number): number {
  let product = 1
  for (let i = 0; i < exponent; i++) product = Math.imul(product, base)
  return product
}

/** A 32-bit permutation whose every output bit depends on all of the input (the finaliser of MurmurHash3, Appleby). */
export function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
