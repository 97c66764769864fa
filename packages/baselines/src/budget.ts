import { checkInteger, OptionError } from '@kvasir/core'

/** Tokens that are read at every step, whatever is chosen. */
export interface AlwaysRead {
  /** First tokens of the sequence. */
  readonly sinkTokens: number
  /** Last tokens, the current one included. */
  readonly recentTokens: number
}

/** `value` if it is a budget that leaves room beside `alwaysTokens`; else throws an OptionError. */
export function checkBudget(value: unknown, alwaysTokens: number): number {
  const budgetTokens = checkInteger('budgetTokens', value, 1)
  if (budgetTokens > alwaysTokens) return budgetTokens
  throw new OptionError({
    parameter: 'budgetTokens',
    expected: `more than the ${alwaysTokens} tokens that are always read`,
    got: budgetTokens,
    remedy: 'Raise the budget, or lower the tokens that are always read.',
  })
}
