import { checkInteger, checkKeys, checkNumber, OptionError } from '@kvasir/core'

/** SentenceKV as its published code behaves. */
export interface ReleasedOptions {
  readonly mode: 'released'
  /** Tokens a query head that attention reads at a step that is not dense, the first and last 32 included; at least 65. Required. */
  readonly budgetTokens: number
  /** Rows of the prompt that stay for each query head, as a multiple of the budget. @default 3 */
  readonly keep?: number
}

export interface ResolvedReleased {
  readonly mode: 'released'
  readonly budgetTokens: number
  readonly keptTokens: number
}

/** Entries at both ends of the compacted cache that every step reads. */
export const startEntries = 32
export const recentEntries = 32

export function resolveReleased(options: ReleasedOptions): ResolvedReleased {
  checkKeys('SentenceKvOptions of mode released', options, ['mode', 'budgetTokens', 'keep'])
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 1, 2 ** 30)
  const always = startEntries + recentEntries
  if (budgetTokens <= always) {
    throw new OptionError({
      parameter: 'budgetTokens',
      expected: `at least ${always + 1}: the published code always reads ${startEntries} first and ${recentEntries} last entries`,
      got: budgetTokens,
      remedy: "Raise the budget, or take mode 'paper' or 'kvasir', which work with fewer tokens.",
    })
  }
  const keep = checkNumber('keep', options.keep ?? 3, 1, 2 ** 20)
  return { mode: 'released', budgetTokens, keptTokens: Math.floor(keep * budgetTokens) }
}
