import { checkFlag, checkInteger, checkKeys, checkNumber, checkOneOf, OptionError } from '@kvasir/core'
import { checkLibrary } from '../kvasir/options.ts'
import type { DonorLibrary } from '../library/donor-library.ts'

/**
 * SemShareKV as it is described (Zhao and Mastorakis 2025, arXiv 2509.24832). Where each value comes from: [paper note]: a
 * reading note of the full text; [re-implementation]; [ours]: not stated in anything at hand. docs/decisions/0020 has the readings.
 */
export interface PaperOptions {
  /** Required. */
  readonly mode: 'paper'
  /** Who lends; the engine must publish to the same library. Required. */
  readonly donors: DonorLibrary
  /** Least similarity of the one donor that lends [paper note]. @default 0.8 */
  readonly minSimilarity?: number
  /** Mean distance of codes that counts as similarity 1 [paper note]. @default 0 */
  readonly minDistance?: number
  /** Mean distance that counts as similarity 0 [paper note]. @default 30 */
  readonly maxDistance?: number
  /** Bits of the hyperplane codes that similarity is measured in [ours: the scale of 0 to 30 fits 64]. @default 64 */
  readonly codeBits?: number
  /** Whether token embeddings are turned by their position before they are matched [paper note]. @default true */
  readonly turnEmbeddings?: boolean
  /** Base of that turn, over whole vectors [paper note]. @default 10000 */
  readonly embeddingTheta?: number
  /** Whether borrowed keys keep their rotation or turn to their new positions [paper note, by omission]. @default 'stored' */
  readonly keys?: 'stored' | 'moved'
  /** Share of the rows computed at a layer that deviate highly, and of all rows that the second layer computes [paper note]. @default 0.4 */
  readonly highShare?: number
  /** Share of the attention that the hot rows receive [paper note]. @default 0.55 */
  readonly hotAttention?: number
  /** Weight of the deviation of a hot row when rows are chosen [re-implementation]. @default 0.5 */
  readonly hotWeight?: number
  /** The same of any other row [re-implementation]. @default 0.1 */
  readonly coldWeight?: number
  /** Rows of a layer as a share of those of the layer before, from the third layer on [ours]. @default 0.9 */
  readonly recomputeDecay?: number
  /** Least share of all rows that a layer computes [ours]. @default 0.02 */
  readonly recomputeFloor?: number
  /** Whether rows are dropped once the prompt stands, by the attention that they received. @default false */
  readonly retention?: boolean
  /** Share of the rows that the first layer keeps, or that of the hot rows if it is larger [paper note]. @default 0.8 */
  readonly retainShare?: number
  /** What a layer keeps, as a share of what the layer before keeps [ours]. @default 0.98 */
  readonly retainDecay?: number
  /** Prompts with fewer tokens that do not stand yet are computed [ours]. @default 64 */
  readonly minPromptTokens?: number
  /** Of the random planes of the codes. @default 1 */
  readonly seed?: number
}

export type ResolvedPaper = Required<PaperOptions>

const optionNames = [
  'mode',
  'donors',
  'minSimilarity',
  'minDistance',
  'maxDistance',
  'codeBits',
  'turnEmbeddings',
  'embeddingTheta',
  'keys',
  'highShare',
  'hotAttention',
  'hotWeight',
  'coldWeight',
  'recomputeDecay',
  'recomputeFloor',
  'retention',
  'retainShare',
  'retainDecay',
  'minPromptTokens',
  'seed',
] as const

export function resolvePaper(options: PaperOptions): ResolvedPaper {
  checkKeys('SemShareKvOptions of mode paper', options, optionNames)
  const share = (name: keyof PaperOptions, otherwise: number) => checkNumber(name, options[name] ?? otherwise, 0, 1)
  const minDistance = checkNumber('minDistance', options.minDistance ?? 0, 0, 1e6)
  const codeBits = checkInteger('codeBits', options.codeBits ?? 64, 32, 4096)
  if (codeBits % 32 !== 0) throw new OptionError({ parameter: 'codeBits', expected: 'a multiple of 32', got: codeBits })
  checkLibrary(options.donors)
  return {
    mode: 'paper',
    donors: options.donors,
    minSimilarity: share('minSimilarity', 0.8),
    minDistance,
    maxDistance: checkNumber('maxDistance', options.maxDistance ?? 30, minDistance + 1e-6, 1e6),
    codeBits,
    turnEmbeddings: checkFlag('turnEmbeddings', options.turnEmbeddings ?? true),
    embeddingTheta: checkNumber('embeddingTheta', options.embeddingTheta ?? 10_000, 1, 1e12),
    keys: checkOneOf('keys', options.keys ?? 'stored', ['stored', 'moved']),
    highShare: share('highShare', 0.4),
    hotAttention: share('hotAttention', 0.55),
    hotWeight: share('hotWeight', 0.5),
    coldWeight: share('coldWeight', 0.1),
    recomputeDecay: share('recomputeDecay', 0.9),
    recomputeFloor: share('recomputeFloor', 0.02),
    retention: checkFlag('retention', options.retention ?? false),
    retainShare: share('retainShare', 0.8),
    retainDecay: share('retainDecay', 0.98),
    minPromptTokens: checkInteger('minPromptTokens', options.minPromptTokens ?? 64, 1),
    seed: checkInteger('seed', options.seed ?? 1, 0),
  }
}
