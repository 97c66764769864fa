import {
  type CachePolicy,
  checkInteger,
  checkKeys,
  OptionError,
  type PolicySession,
  runsOfSpans,
  type SequenceContext,
  type StepView,
} from '@kvasir/core'

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
    const remedy = 'Raise the budget or lower sinkTokens.'
    throw new OptionError({
      parameter: 'budgetTokens',
      expected: `more than the ${sinkTokens} sinks`,
      got: budgetTokens,
      remedy,
    })
  }
  return Object.freeze({
    name: 'window',
    effects: { slots: ['select'], fidelity: 'lossy', selectScope: 'step' } as const,
    bind: () => {},
    open: ({ profile }: SequenceContext) => {
      const numKvHeads = profile.shape.layers[0].numKvHeads
      const session: PolicySession = {
        select: ({ numTokens }: StepView) => {
          const windowStart = Math.max(sinkTokens, numTokens - (budgetTokens - sinkTokens))
          const spans = [
            { start: 0, end: Math.min(sinkTokens, numTokens) },
            { start: windowStart, end: numTokens },
          ]
          return { kind: 'runs', runs: runsOfSpans(spans, numKvHeads) }
        },
        fork: () => session,
        rewind: () => {},
        [Symbol.asyncDispose]: async () => {},
      }
      return session
    },
  })
}
