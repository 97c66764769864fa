import { checkInteger, checkKeys, checkNumber } from '@kvasir/core'

/** SentenceKV as its paper describes it. */
export interface PaperOptions {
  readonly mode: 'paper'
  /** Tokens a KV head that attention reads at a step, the current one included; at least 2. Required. */
  readonly budgetTokens: number
  /** Rows of the prompt that stay, as a multiple of the budget (the paper's r); the others are dropped for good. @default 3 */
  readonly keep?: number
  /** Last rows of a prompt whose attention says which rows stay (the paper's N). @default 32 */
  readonly windowTokens?: number
}

export interface ResolvedPaper {
  readonly mode: 'paper'
  readonly budgetTokens: number
  readonly keptTokens: number
  readonly windowTokens: number
}

export function resolvePaper(options: PaperOptions): ResolvedPaper {
  checkKeys('SentenceKvOptions of mode paper', options, ['mode', 'budgetTokens', 'keep', 'windowTokens'])
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 2, 2 ** 30)
  const keep = checkNumber('keep', options.keep ?? 3, 1, 2 ** 20)
  const windowTokens = checkInteger('windowTokens', options.windowTokens ?? 32, 1, 4096)
  return { mode: 'paper', budgetTokens, keptTokens: Math.floor(keep * budgetTokens), windowTokens }
}
