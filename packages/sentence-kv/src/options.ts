import { checkInteger, checkKeys, checkOneOf, OptionError } from '@kvasir/core'
import { resolveRule, type SelectionRule } from '@kvasir/semantic'

export interface SentenceKvOptions {
  /** Tokens a KV head that attention reads at a step, always-visible ones included; at least twice sinks and recent. Required. */
  readonly budgetTokens: number
  /** kvasir: estimates from segment vectors and token codes, then an exact choice. @default 'kvasir' */
  readonly mode?: 'kvasir'
  /** First tokens, always visible. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always visible. @default 16 */
  readonly recentTokens?: number
  /** Keys read exactly to choose among, as a multiple of the budget; 0: by estimates alone. @default 2 */
  readonly poolFactor?: number
  /** Bits a channel of a token's residual code. @default 2 */
  readonly codeBits?: 1 | 2
  /** One budget a layer, shared by its KV heads. @default true */
  readonly jointHeads?: boolean
  /** Shorter sentences join the next. @default 4 */
  readonly minSegmentTokens?: number
  /** Longer sentences are cut, at a clause mark where there is one; at most half of what sinks leave of the budget. @default 64, or that half */
  readonly maxSegmentTokens?: number
}

const optionNames = [
  'budgetTokens',
  'mode',
  'sinkTokens',
  'recentTokens',
  'poolFactor',
  'codeBits',
  'jointHeads',
  'minSegmentTokens',
  'maxSegmentTokens',
] as const

export interface ResolvedSentenceKv {
  readonly rule: SelectionRule
  readonly codeBits: 1 | 2
  readonly minSegmentTokens: number
  readonly maxSegmentTokens: number
}

export function resolveSentenceKv(options: SentenceKvOptions): ResolvedSentenceKv {
  checkKeys('SentenceKvOptions', options, optionNames)
  checkOneOf('mode', options.mode ?? 'kvasir', ['kvasir'])
  const { codeBits = 2, budgetTokens, sinkTokens, recentTokens, poolFactor, jointHeads } = options
  if (codeBits !== 1 && codeBits !== 2)
    throw new OptionError({ parameter: 'codeBits', expected: '1 or 2', got: codeBits })
  const rule = resolveRule({ budgetTokens, sinkTokens, recentTokens, poolFactor, jointHeads })
  // Up to twice as many tokens may be open, all of them visible: sinks and open tokens must fit in the budget.
  const widest = Math.floor((rule.budgetTokens - rule.sinkTokens) / 2)
  const maxSegmentTokens = checkInteger('maxSegmentTokens', options.maxSegmentTokens ?? Math.min(64, widest), 1, widest)
  const least = options.minSegmentTokens ?? Math.min(4, maxSegmentTokens)
  const minSegmentTokens = checkInteger('minSegmentTokens', least, 1, maxSegmentTokens)
  return { rule, codeBits, minSegmentTokens, maxSegmentTokens }
}
