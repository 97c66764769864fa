import { type CachePolicy, checkInteger, checkKeys, type Effects, requireCapabilities } from '@kvasir/core'
import type { BlockBudget } from './block-choice.ts'
import type { BlockSummary } from './block-index.ts'
import { BlockSession } from './block-session.ts'
import { checkBudget } from './budget.ts'

/** Options that every policy has which reads blocks of a fixed length. */
export interface BlockOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read; the open block always is. @default 16 */
  readonly recentTokens?: number
}

/** The policy of a summary, named by its rule; `sizeKey` is the option that has the tokens of a block. */
export function blockPolicy<Key extends string>(
  name: string,
  options: BlockOptions & { readonly [key in Key]?: number },
  { type, sizeKey, summary }: { readonly type: string; readonly sizeKey: Key; readonly summary: BlockSummary },
): CachePolicy {
  checkKeys(type, options, ['budgetTokens', sizeKey, 'sinkTokens', 'recentTokens'])
  const blockTokens = checkInteger(sizeKey, options[sizeKey] ?? 16, 1)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const budgetTokens = checkBudget(options.budgetTokens, sinkTokens + Math.max(recentTokens, blockTokens))
  const budget: BlockBudget = { budgetTokens, blockTokens, sinkTokens, recentTokens }
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({ slots: ['retain', 'append', 'select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities(name, engine, ['select.runs', 'observe.query', 'observe.keys']),
    open: (sequence) => BlockSession.open(sequence, budget, summary),
  })
}
