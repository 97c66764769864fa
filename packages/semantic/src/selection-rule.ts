import { checkInteger, checkNumber, OptionError } from '@kvasir/core'

/** How tokens are chosen at each layer and step; the numbers are tokens a KV head. */
export interface SelectionRule {
  /** Rows that attention reads, always-visible ones included; with jointHeads the mean over the layer's KV heads. */
  readonly budgetTokens: number
  /** First tokens, always visible (attention sinks, Xiao et al. 2023). */
  readonly sinkTokens: number
  /** Last tokens, always visible, the current one included. */
  readonly recentTokens: number
  /** Keys read exactly to choose among, as a multiple of the budget; 0: choose by estimates alone. */
  readonly poolFactor: number
  /** One budget a layer: each KV head keeps its best quarter, the rest goes to the best remaining tokens of any head. */
  readonly jointHeads: boolean
}

/** Fills in the defaults and checks ranges; throws OptionError. */
export function resolveRule(options: { readonly budgetTokens: number } & Partial<SelectionRule>): SelectionRule {
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const always = sinkTokens + recentTokens
  if (!(Number.isSafeInteger(options.budgetTokens) && options.budgetTokens >= 2 * always)) {
    throw new OptionError({
      parameter: 'budgetTokens',
      expected: `an integer >= ${2 * always}, twice what is always visible (${sinkTokens} sinks, ${recentTokens} recent)`,
      got: options.budgetTokens,
      remedy: 'Raise the budget, or lower sinkTokens and recentTokens.',
    })
  }
  return {
    budgetTokens: options.budgetTokens,
    sinkTokens,
    recentTokens,
    poolFactor: checkNumber('poolFactor', options.poolFactor ?? 2, 0, 1024),
    jointHeads: options.jointHeads ?? true,
  }
}
