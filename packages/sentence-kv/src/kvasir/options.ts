import { checkInteger, checkKeys, checkNumber, OptionError } from '@kvasir/core'
import { resolveRule, type SelectionRule } from '@kvasir/semantic'

/** SentenceKV, improved: estimates from segment vectors and token codes, then an exact choice. */
export interface KvasirOptions {
  /** @default 'kvasir' */
  readonly mode?: 'kvasir'
  /** Tokens a KV head that attention reads at a step, always-visible ones included; at least twice sinks and recent. Required. */
  readonly budgetTokens: number
  /**
   * Rows of each prompt that stay a KV head, as a multiple of the budget, by the attention of the prompt's last 32 rows;
   * the others are dropped for good. 'all': nothing is dropped. @default 'all'
   */
  readonly keep?: 'all' | number
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
  /** Closed sentences are indexed in pieces of at most so many tokens, cut at clause marks. @default whole sentences */
  readonly pieceTokens?: number
}

const optionNames = [
  'mode',
  'budgetTokens',
  'keep',
  'sinkTokens',
  'recentTokens',
  'poolFactor',
  'codeBits',
  'jointHeads',
  'minSegmentTokens',
  'maxSegmentTokens',
  'pieceTokens',
] as const

export interface ResolvedKvasir {
  readonly mode: 'kvasir'
  readonly rule: SelectionRule
  readonly codeBits: 1 | 2
  readonly minSegmentTokens: number
  readonly maxSegmentTokens: number
  /** null: whole sentences. */
  readonly pieceTokens: number | null
  /** Rows of a prompt that stay a KV head; null: all. */
  readonly keptTokens: number | null
}

export function resolveKvasir(options: KvasirOptions): ResolvedKvasir {
  checkKeys('SentenceKvOptions of mode kvasir', options, optionNames)
  const { codeBits = 2, budgetTokens, sinkTokens, recentTokens, poolFactor, jointHeads } = options
  if (codeBits !== 1 && codeBits !== 2)
    throw new OptionError({ parameter: 'codeBits', expected: '1 or 2', got: codeBits })
  const rule = resolveRule({ budgetTokens, sinkTokens, recentTokens, poolFactor, jointHeads })
  // Up to twice as many tokens may be open, all of them visible: sinks and open tokens must fit in the budget.
  const widest = Math.floor((rule.budgetTokens - rule.sinkTokens) / 2)
  const maxSegmentTokens = checkInteger('maxSegmentTokens', options.maxSegmentTokens ?? Math.min(64, widest), 1, widest)
  const least = options.minSegmentTokens ?? Math.min(4, maxSegmentTokens)
  const minSegmentTokens = checkInteger('minSegmentTokens', least, 1, maxSegmentTokens)
  const { pieceTokens } = options
  return {
    mode: 'kvasir',
    rule,
    codeBits,
    minSegmentTokens,
    maxSegmentTokens,
    pieceTokens: pieceTokens === undefined ? null : checkInteger('pieceTokens', pieceTokens, 1),
    keptTokens: resolveKeep(options.keep ?? 'all', budgetTokens),
  }
}

function resolveKeep(keep: unknown, budgetTokens: number): number | null {
  if (keep === 'all') return null
  if (typeof keep === 'number') return Math.floor(checkNumber('keep', keep, 1, 2 ** 20) * budgetTokens)
  throw new OptionError({ parameter: 'keep', expected: "'all' or a number >= 1", got: keep })
}
