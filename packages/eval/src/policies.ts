import { fullCache } from '@kvasir/baselines/full'
import { oracleTokens } from '@kvasir/baselines/oracle'
import { randomSentences } from '@kvasir/baselines/random'
import { sinkWindow } from '@kvasir/baselines/window'
import type { CachePolicy } from '@kvasir/core'
import { sentenceKv } from '@kvasir/sentence-kv'

/** A policy that can be named on a command line: the options that may be set there, and how it is made from them. */
export interface PolicyEntry {
  readonly keys: readonly string[]
  readonly make: (options: Readonly<Record<string, unknown>>) => CachePolicy
}

/** Ties the keys to the options of the policy; the policy itself checks the values. */
function entry<Options extends object>(
  make: (options: Options) => CachePolicy,
  keys: readonly (keyof Options & string)[],
): PolicyEntry {
  return { keys, make: (options) => make(options as Options) }
}

/** Every policy by its name in results, with all its knobs. `full` takes no budget. */
export const policies = {
  full: entry<object>(() => fullCache(), []),
  window: entry(sinkWindow, ['budgetTokens', 'sinkTokens']),
  random: entry(randomSentences, ['budgetTokens', 'sinkTokens', 'recentTokens', 'seed']),
  oracle: entry(oracleTokens, ['budgetTokens', 'jointHeads']),
  'sentence-kv': entry(sentenceKv, [
    'budgetTokens',
    'mode',
    'sinkTokens',
    'recentTokens',
    'poolFactor',
    'codeBits',
    'jointHeads',
    'minSegmentTokens',
    'maxSegmentTokens',
  ]),
} satisfies Record<string, PolicyEntry>

export type PolicyName = keyof typeof policies

export const policyNames = Object.keys(policies) as readonly PolicyName[]
