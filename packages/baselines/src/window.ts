import { type CachePolicy, checkInteger, checkKeys, fixedSelection, OptionError } from '@kvasir/core'

export interface SinkWindowOptions {
  /** Tokens that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
}

/** Attention sinks and the most recent tokens, at their true positions (StreamingLLM, Xiao et al. 2023, arXiv 2309.17453). */
export function sinkWindow(options: SinkWindowOptions): CachePolicy {
  checkKeys('SinkWindowOptions', options, ['budgetTokens', 'sinkTokens'])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 1)
  if (budgetTokens <= sinkTokens) {
    throw new OptionError({
      parameter: 'budgetTokens',
      expected: `more than the ${sinkTokens} sinks`,
      got: budgetTokens,
      remedy: 'Raise the budget or lower sinkTokens.',
    })
  }
  return fixedSelection('window', ({ numTokens }) => [
    { start: 0, end: Math.min(sinkTokens, numTokens) },
    { start: Math.max(0, numTokens - (budgetTokens - sinkTokens)), end: numTokens },
  ])
}
