import { checkInteger, checkKeys, checkNumber, checkOneOf, OptionError } from '@kvasir/core'
import { type CodeBits, estimateNames, type SegmentBasis, type VectorBits } from '@kvasir/kernels'
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
  /** Tokens a KV head that are estimated one by one, times the budget: those of the segments with the best mean and variance, in basis 'channels'; 0: all. @default 0 */
  readonly prefilterFactor?: number
  /** Bits a channel of a token's residual code, with principal channels on average; 0: the tokens of a sentence are not told apart. @default 2 */
  readonly codeBits?: CodeBits
  /** Bits a channel of a sentence's mean key; its spread, of basis 'channels', takes half of them. @default 8 */
  readonly vectorBits?: VectorBits
  /**
   * Channels that codes are made in: the principal ones of the first 256 tokens of a layer and KV head, with choices by exact
   * scores before, or those of the keys. @default 'principal', 'channels' with codeBits 0 or a prefilterFactor
   */
  readonly basis?: SegmentBasis
  /** What estimates are made for: the query, or its mean or exponential average since a sentence closed. @default 'current' */
  readonly query?: 'current' | 'mean' | 'ema'
  /** Share of the average that each step of `ema` keeps. @default 0.5 */
  readonly emaDecay?: number
  /** A choice answers so many steps, the first included; rows that came since are visible. @default 1 */
  readonly rerankSteps?: number
  /** It answers none whose query has a smaller cosine to the one that it was made for. @default 0.8 */
  readonly driftLimit?: number
  /** Whether choices are checked against bounds: `report` counts those proven exact, `extend` reads the keys that stand against a proof. @default 'off' */
  readonly certify?: 'off' | 'report' | 'extend'
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
  ...estimateNames,
  'codeBits',
  'vectorBits',
  'basis',
  'jointHeads',
  'minSegmentTokens',
  'maxSegmentTokens',
  'pieceTokens',
] as const

export interface ResolvedKvasir {
  readonly mode: 'kvasir'
  readonly rule: SelectionRule
  readonly codeBits: CodeBits
  readonly vectorBits: VectorBits
  readonly basis: SegmentBasis
  readonly minSegmentTokens: number
  readonly maxSegmentTokens: number
  /** null: whole sentences. */
  readonly pieceTokens: number | null
  /** Rows of a prompt that stay a KV head; null: all. */
  readonly keptTokens: number | null
}

export function resolveKvasir(options: KvasirOptions): ResolvedKvasir {
  checkKeys('SentenceKvOptions of mode kvasir', options, optionNames)
  const { mode: _, keep = 'all', codeBits = 2, vectorBits = 8, basis, ...others } = options
  const { minSegmentTokens: least, maxSegmentTokens: most, pieceTokens, ...choice } = others
  const rule = resolveRule(choice)
  // Up to twice as many tokens may be open, all of them visible: sinks and open tokens must fit in the budget.
  const widest = Math.floor((rule.budgetTokens - rule.sinkTokens) / 2)
  const maxSegmentTokens = checkInteger('maxSegmentTokens', most ?? Math.min(64, widest), 1, widest)
  const minSegmentTokens = checkInteger('minSegmentTokens', least ?? Math.min(4, maxSegmentTokens), 1, maxSegmentTokens)
  return {
    mode: 'kvasir',
    rule,
    codeBits: checkBits('codeBits', codeBits, [0, 1, 2, 4]),
    vectorBits: checkBits('vectorBits', vectorBits, [8, 16]),
    basis: resolveBasis(basis, codeBits, rule.prefilterFactor),
    minSegmentTokens,
    maxSegmentTokens,
    pieceTokens: pieceTokens === undefined ? null : checkInteger('pieceTokens', pieceTokens, 1),
    keptTokens: resolveKeep(keep, rule.budgetTokens),
  }
}

function resolveKeep(keep: unknown, budgetTokens: number): number | null {
  if (keep === 'all') return null
  if (typeof keep === 'number') return Math.floor(checkNumber('keep', keep, 1, 2 ** 20) * budgetTokens)
  throw new OptionError({ parameter: 'keep', expected: "'all' or a number >= 1", got: keep })
}

/** Principal channels, unless there are no codes or a prefilter reads deviations. */
function resolveBasis(basis: unknown, codeBits: CodeBits, prefilterFactor: number): SegmentBasis {
  const suiting = codeBits === 0 || prefilterFactor > 0 ? 'channels' : 'principal'
  const known = checkOneOf('basis', basis ?? suiting, ['principal', 'channels'])
  if (known === 'channels' || suiting === 'principal') return known
  throw new OptionError({
    parameter: 'basis',
    expected: "'channels' with codeBits 0 or a prefilterFactor",
    got: basis,
    remedy: 'Leave basis out, or raise codeBits and take prefilterFactor 0.',
  })
}

function checkBits<Bits extends number>(parameter: string, value: Bits, allowed: readonly Bits[]): Bits {
  if (allowed.includes(value)) return value
  throw new OptionError({ parameter, expected: `one of ${allowed.join(', ')}`, got: value })
}
