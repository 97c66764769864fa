import { checkKeys } from '@kvasir/core'
import { type MatchRule, nearestOf, rankRule } from './nearest-vectors.ts'
import type { Vocabulary } from './vocabulary.ts'

export interface NearestTokensOptions extends MatchRule {
  /** Required. */
  readonly vocabulary: Vocabulary
  /** Ids to find a counterpart for. Required. */
  readonly target: Int32Array
  /** Ids to find it among. Required. */
  readonly donor: Int32Array
}

/** A target token's counterpart: index of its first occurrence in `donor`, and cosine or squared distance; else -1 and NaN. */
export interface NearestTokens {
  readonly indices: Int32Array
  readonly values: Float32Array
}

/**
 * The counterpart of each target token. Equal ids match outright; for others the vectors of the ids with the nearest codes
 * are compared. The costly part runs off the calling thread.
 */
export async function nearestTokens(options: NearestTokensOptions): Promise<NearestTokens> {
  const names = ['vocabulary', 'target', 'donor', 'metric', 'threshold', 'candidates', 'maxDistance', 'signal']
  checkKeys('nearestTokens', options, names)
  const { vocabulary } = options
  const target = options.target.slice()
  const first = firstPlaces(options.donor)
  const missing = Int32Array.from(new Set(target.filter((id) => !first.has(id))))
  const matches = await matchIds(vocabulary, missing, Int32Array.from(first.keys()), options)
  const equal = options.metric === 'l2' ? 0 : 1
  const indices = new Int32Array(target.length).fill(-1)
  const values = new Float32Array(target.length).fill(Number.NaN)
  target.forEach((id, i) => {
    const match = first.has(id) ? { id, value: equal } : matches.get(id)
    if (match === undefined) return
    indices[i] = first.get(match.id) as number
    values[i] = match.value
  })
  return { indices, values }
}

/** Where each id stands first, in that order. */
function firstPlaces(ids: Int32Array): Map<number, number> {
  const first = new Map<number, number>()
  ids.forEach((id, i) => {
    if (!first.has(id)) first.set(id, i)
  })
  return first
}

/** The nearest of `among` for those of `ids` that have one. */
async function matchIds(
  vocabulary: Vocabulary,
  ids: Int32Array,
  among: Int32Array,
  rule: MatchRule,
): Promise<Map<number, { id: number; value: number }>> {
  const { hasher } = vocabulary
  const { signal } = rule
  const [asked, codes] = [await vocabulary.codes(ids, signal), await vocabulary.codes(among, signal)]
  const found = await nearestOf(hasher, asked, codes, rule)
  // Only vectors that are compared are fetched, in the order of `among`.
  const compared = Int32Array.from(new Set(found.filter((index) => index >= 0))).sort()
  const places = new Map(Array.from(compared, (index, place) => [index, place]))
  const candidates = found.map((index) => places.get(index) ?? -1)
  const queries = await vocabulary.vectors(ids, signal)
  const rows = await vocabulary.vectors(
    compared.map((index) => among[index] as number),
    signal,
  )
  const ranked = await hasher.kernels.rankRows({ ...rankRule(rule), dim: hasher.dim, queries, rows, candidates })
  const matches = new Map<number, { id: number; value: number }>()
  ranked.indices.forEach((place, i) => {
    if (place < 0) return
    const id = among[compared[place] as number] as number
    matches.set(ids[i] as number, { id, value: ranked.values[i] as number })
  })
  return matches
}
