import { checkInteger, checkKeys, checkNumber, OptionError } from '@kvasir/core'

/** How tokens are chosen at each layer and step; the numbers are tokens a KV head. */
export interface SelectionOptions {
  /** Rows that attention reads, always-visible ones included; with jointHeads the mean over the layer's KV heads. Required. */
  readonly budgetTokens: number
  /** First tokens, always visible (attention sinks, Xiao et al. 2023). @default 4 */
  readonly sinkTokens?: number | undefined
  /** Last tokens, always visible, the current one included. @default 16 */
  readonly recentTokens?: number | undefined
  /** Keys read exactly to choose among, as a multiple of the budget; 0: choose by estimates alone. @default 2 */
  readonly poolFactor?: number | undefined
  /** One budget a layer: each KV head keeps its best quarter, the rest goes to the best remaining tokens of any head. @default true */
  readonly jointHeads?: boolean | undefined
}

export interface SelectionRule {
  readonly budgetTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
  readonly poolFactor: number
  readonly jointHeads: boolean
}

/** Fills in the defaults. Throws OptionError for unknown keys, and for a budget below twice what is always visible. */
export function resolveRule(options: SelectionOptions): SelectionRule {
  checkKeys('SelectionOptions', options, ['budgetTokens', 'sinkTokens', 'recentTokens', 'poolFactor', 'jointHeads'])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0, 2 ** 28)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1, 2 ** 28)
  const poolFactor = checkNumber('poolFactor', options.poolFactor ?? 2, 0, 1024)
  const { budgetTokens, jointHeads = true } = options
  if (typeof jointHeads !== 'boolean') {
    throw new OptionError({ parameter: 'jointHeads', expected: 'true or false', got: jointHeads })
  }
  const least = 2 * (sinkTokens + recentTokens)
  if (Number.isSafeInteger(budgetTokens) && budgetTokens >= least && budgetTokens <= 2 ** 30) {
    return { budgetTokens, sinkTokens, recentTokens, poolFactor, jointHeads }
  }
  throw new OptionError({
    parameter: 'budgetTokens',
    expected: `an integer in [${least}, 2^30], at least twice what is always visible (${sinkTokens} sinks, ${recentTokens} recent)`,
    got: budgetTokens,
    remedy: 'Raise the budget, or lower sinkTokens and recentTokens.',
  })
}
