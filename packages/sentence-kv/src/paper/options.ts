import { checkInteger, checkKeys, checkNumber, OptionError } from '@kvasir/core'

/** SentenceKV as its paper describes it. */
export interface PaperOptions {
  readonly mode: 'paper'
  /** Tokens a KV head that attention reads at a step, the current one included; at least 2. Required. */
  readonly budgetTokens: number
  /** Rows of the prompt that stay, as a multiple of the budget (the paper's r); the others are dropped for good. @default 3 */
  readonly keep?: number
  /** Last rows of a prompt whose attention says which rows stay (the paper's N). @default 32 */
  readonly windowTokens?: number
  /** First kept tokens, always read; the paper names none. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read, the current one included; the paper names none, and without them it reads too little of what it is writing. @default 16 */
  readonly recentTokens?: number
}

export interface ResolvedPaper {
  readonly mode: 'paper'
  readonly budgetTokens: number
  readonly keptTokens: number
  readonly windowTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
}

export function resolvePaper(options: PaperOptions): ResolvedPaper {
  const names = ['mode', 'budgetTokens', 'keep', 'windowTokens', 'sinkTokens', 'recentTokens']
  checkKeys('SentenceKvOptions of mode paper', options, names)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0, 2 ** 28)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1, 2 ** 28)
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 1, 2 ** 30)
  const always = sinkTokens + recentTokens
  if (budgetTokens <= always) {
    throw new OptionError({
      parameter: 'budgetTokens',
      expected: `more than what is always read (${sinkTokens} sinks, ${recentTokens} recent)`,
      got: budgetTokens,
      remedy: 'Raise the budget, or lower sinkTokens and recentTokens.',
    })
  }
  const keep = checkNumber('keep', options.keep ?? 3, 1, 2 ** 20)
  const windowTokens = checkInteger('windowTokens', options.windowTokens ?? 32, 1, 4096)
  const keptTokens = Math.floor(keep * budgetTokens)
  return { mode: 'paper', budgetTokens, keptTokens, windowTokens, sinkTokens, recentTokens }
}
