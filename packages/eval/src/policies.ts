import { adaKv } from '@kvasir/baselines/adakv'
import { fixedChunks } from '@kvasir/baselines/chunk'
import { fullCache } from '@kvasir/baselines/full'
import { h2o } from '@kvasir/baselines/h2o'
import { infLlm } from '@kvasir/baselines/infllm'
import { keyDiff } from '@kvasir/baselines/keydiff'
import { keyNorm } from '@kvasir/baselines/knorm'
import { type OracleTokensOptions, oracleTokens } from '@kvasir/baselines/oracle'
import { type OracleSentencesOptions, oracleSentences } from '@kvasir/baselines/oracle-sentences'
import { pyramidKv } from '@kvasir/baselines/pyramidkv'
import { quest } from '@kvasir/baselines/quest'
import { randomSentences } from '@kvasir/baselines/random'
import { snapKv } from '@kvasir/baselines/snapkv'
import { tova } from '@kvasir/baselines/tova'
import { sinkWindow } from '@kvasir/baselines/window'
import { type CachePolicy, checkOneOf } from '@kvasir/core'
import { type DonorLibrary, type SemShareKvOptions, semShareKv } from '@kvasir/semshare-kv'
import { sentenceKv } from '@kvasir/sentence-kv'
import { noDonors } from './pairs/no-donors.ts'
import { type ControlOptions, withControls } from './pairs/reuse-controls.ts'

/** A policy that can be named on a command line: the options that may be set there, and how it is made from them. */
export interface PolicyEntry {
  readonly keys: readonly string[]
  readonly make: (options: Readonly<Record<string, unknown>>, resources?: PolicyResources) => CachePolicy
}

/** What a policy needs beside its options. */
export interface PolicyResources {
  /** Who lends KV of other prompts. @default nobody */
  readonly donors?: DonorLibrary
}

type KeyOf<Options> = Options extends unknown ? keyof Options & string : never

/** Ties the keys to the options of the policy; the policy itself checks the values. */
function entry<Options extends object>(
  make: (options: Options, resources: PolicyResources) => CachePolicy,
  keys: readonly KeyOf<Options>[],
): PolicyEntry {
  return { keys, make: (options, resources = {}) => make(options as Options, resources) }
}

type OracleOptions =
  | (OracleTokensOptions & { readonly unit?: 'token' })
  | (OracleSentencesOptions & { readonly unit: 'sentence' })

/** The best tokens, or the best whole sentences. */
function oracle({ unit = 'token', ...options }: OracleOptions): CachePolicy {
  const make = { token: oracleTokens, sentence: oracleSentences }
  return make[checkOneOf('unit', unit, ['token', 'sentence'])](options)
}

/** With a control the rows that it lends are spoilt, to see what they are worth. */
function reuse({ control, recompute, ...options }: ReuseOptions, { donors = noDonors }: PolicyResources): CachePolicy {
  const spoilt = { ...(control !== undefined && { control }), ...(recompute !== undefined && { recompute }) }
  return withControls(semShareKv({ ...options, donors } as SemShareKvOptions), spoilt)
}

type ReuseOptions = WithoutDonors<SemShareKvOptions> & ControlOptions

/** Of each mode by itself, so that no key is lost. */
type WithoutDonors<Options> = Options extends unknown ? Omit<Options, 'donors'> : never

const ranked = ['budgetTokens', 'generated', 'sinkTokens'] as const

/** Every policy by its name in results, with all its knobs. `full` takes no budget. */
export const policies = {
  full: entry<object>(() => fullCache(), []),
  window: entry(sinkWindow, ['budgetTokens', 'sinkTokens', 'renumber']),
  random: entry(randomSentences, ['budgetTokens', 'sinkTokens', 'recentTokens', 'seed']),
  oracle: entry(oracle, [
    'budgetTokens',
    'jointHeads',
    'unit',
    'sinkTokens',
    'recentTokens',
    'minSegmentTokens',
    'maxSegmentTokens',
  ]),
  'sentence-kv': entry(sentenceKv, [
    'budgetTokens',
    'mode',
    'keep',
    'windowTokens',
    'sinkTokens',
    'recentTokens',
    'poolFactor',
    'prefilterFactor',
    'codeBits',
    'vectorBits',
    'basis',
    'query',
    'emaDecay',
    'rerankSteps',
    'driftLimit',
    'certify',
    'jointHeads',
    'minSegmentTokens',
    'maxSegmentTokens',
    'pieceTokens',
  ]),
  'semshare-kv': entry(reuse, [
    'mode',
    'fidelity',
    'minRunTokens',
    'contextTokens',
    'startShare',
    'startMaxTokens',
    'startMinTokens',
    'editShare',
    'tailTokens',
    'factReachTokens',
    'deviationShare',
    'probeRows',
    'raiseDeviation',
    'maxDeviation',
    'minCoverage',
    'maxConflicts',
    'probeLayers',
    'minPromptTokens',
    'minSaving',
    'maxCandidates',
    'maxDonors',
    'minDonorTokens',
    'fuzzyShare',
    'fuzzyCosine',
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
    'control',
    'recompute',
  ]),
  snapkv: entry(snapKv, [...ranked, 'windowTokens', 'poolTokens']),
  pyramidkv: entry(pyramidKv, [...ranked, 'windowTokens', 'poolTokens', 'beta']),
  adakv: entry(adaKv, [...ranked, 'windowTokens', 'poolTokens', 'floorShare']),
  keydiff: entry(keyDiff, [...ranked, 'recentTokens']),
  knorm: entry(keyNorm, [...ranked, 'recentTokens']),
  h2o: entry(h2o, ['budgetTokens', 'recentTokens']),
  tova: entry(tova, ['budgetTokens']),
  quest: entry(quest, ['budgetTokens', 'pageTokens', 'sinkTokens', 'recentTokens']),
  chunk: entry(fixedChunks, ['budgetTokens', 'sizeTokens', 'sinkTokens', 'recentTokens']),
  infllm: entry(infLlm, ['budgetTokens', 'blockTokens', 'representativeTokens', 'sinkTokens', 'recentTokens']),
} satisfies Record<string, PolicyEntry>

export type PolicyName = keyof typeof policies

export const policyNames = Object.keys(policies) as readonly PolicyName[]
