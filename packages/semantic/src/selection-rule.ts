import { checkFlag, checkInteger, checkKeys, OptionError } from '@kvasir/core'
import { type EstimateOptions, type EstimateRule, estimateNames, resolveEstimates } from '@kvasir/kernels'

/** How tokens are chosen at each layer and step; the numbers are tokens a KV head. */
export interface SelectionOptions extends EstimateOptions {
  /** Rows that attention reads, always-visible ones included; with jointHeads the mean over the layer's KV heads. Required. */
  readonly budgetTokens: number
  /** First tokens, always visible (attention sinks, Xiao et al. 2023). @default 4 */
  readonly sinkTokens?: number | undefined
  /** Last tokens, always visible, the current one included. @default 16 */
  readonly recentTokens?: number | undefined
  /** One budget a layer: each KV head keeps its best quarter, the rest goes to the best remaining tokens of any head. @default true */
  readonly jointHeads?: boolean | undefined
}

export interface SelectionRule extends EstimateRule {
  readonly budgetTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
  readonly jointHeads: boolean
}

const budgetNames = ['budgetTokens', 'sinkTokens', 'recentTokens', 'jointHeads']

/**
 * Fills in the defaults. Throws OptionError for unknown keys, for options that do not go together, and for a budget below
 * twice what is always visible.
 */
export function resolveRule(options: SelectionOptions): SelectionRule {
  checkKeys('SelectionOptions', options, [...budgetNames, ...estimateNames])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0, 2 ** 28)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1, 2 ** 28)
  const jointHeads = checkFlag('jointHeads', options.jointHeads ?? true)
  const { budgetTokens } = options
  const least = 2 * (sinkTokens + recentTokens)
  if (Number.isSafeInteger(budgetTokens) && budgetTokens >= least && budgetTokens <= 2 ** 30) {
    return { budgetTokens, sinkTokens, recentTokens, jointHeads, ...resolveEstimates(options) }
  }
  throw new OptionError({
    parameter: 'budgetTokens',
    expected: `an integer in [${least}, 2^30], at least twice what is always visible (${sinkTokens} sinks, ${recentTokens} recent)`,
    got: budgetTokens,
    remedy: 'Raise the budget, or lower sinkTokens and recentTokens.',
  })
}
