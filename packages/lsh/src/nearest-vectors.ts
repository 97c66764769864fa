import { checkInteger, checkKeys } from '@kvasir/core'
import type { RankedRows } from '@kvasir/kernels'
import type { Hasher } from './hasher.ts'

/** How candidates are found and what is a match. */
export interface MatchRule {
  /** cosine: larger is nearer; l2: squared distance. @default 'cosine' */
  readonly metric?: 'cosine' | 'l2'
  /** What is farther is no match. @default none */
  readonly threshold?: number
  /** Nearest codes whose vectors are compared, 1 to 256. @default 16 */
  readonly candidates?: number
  /** Codes that are farther apart are not compared. @default none */
  readonly maxDistance?: number
  readonly signal?: AbortSignal
}

export interface NearestVectorsOptions extends MatchRule {
  /** Required. */
  readonly hasher: Hasher
  /** [queries][dim]; it and `rows` must not change before the promise settles. Required. */
  readonly queries: Float32Array
  /** [rows][dim]. Required. */
  readonly rows: Float32Array
}

const ruleNames = ['metric', 'threshold', 'candidates', 'maxDistance', 'signal']

/**
 * The row that is nearest to each query by its true vector, among the rows of the nearest codes, of equal ones the first;
 * -1 and NaN where none is near enough. Native work runs off the calling thread.
 */
export async function nearestVectors(options: NearestVectorsOptions): Promise<RankedRows> {
  checkKeys('nearestVectors', options, ['hasher', 'queries', 'rows', ...ruleNames])
  const { hasher, queries, rows, signal } = options
  const [asked, codes] = [await hasher.codes(queries, signal), await hasher.codes(rows, signal)]
  const candidates = await nearestOf(hasher, asked, codes, options)
  return hasher.kernels.rankRows({ ...rankRule(options), dim: hasher.dim, queries, rows, candidates })
}

/** [queries][candidates] rows of the nearest codes, -1 where there are fewer. */
export async function nearestOf(
  hasher: Hasher,
  queries: Uint8Array,
  codes: Uint8Array,
  { candidates = 16, maxDistance, signal }: MatchRule,
): Promise<Int32Array> {
  const count = checkInteger('candidates', candidates, 1, 256)
  const table = hasher.table(codes)
  try {
    const limits = maxDistance === undefined ? {} : { maxDistance }
    const { indices } = await table.nearest(queries, { count, ...limits, ...(signal === undefined ? {} : { signal }) })
    return indices
  } finally {
    table.dispose()
  }
}

/** The part of a rule that ranks. */
export function rankRule({ metric = 'cosine', threshold, signal }: MatchRule) {
  return {
    metric,
    ...(threshold === undefined ? {} : { threshold }),
    ...(signal === undefined ? {} : { signal }),
  }
}
