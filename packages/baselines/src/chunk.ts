import { type CachePolicy, checkInteger, checkKeys, type Effects, requireCapabilities } from '@kvasir/core'
import type { BlockBudget } from './block-choice.ts'
import { BlockSession } from './block-session.ts'
import { checkBudget } from './budget.ts'
import { meanKey } from './mean-key.ts'

export interface FixedChunksOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** Tokens of a chunk. @default 16 */
  readonly sizeTokens?: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read; the open chunk always is. @default 16 */
  readonly recentTokens?: number
}

/**
 * Chunks of a fixed length, each known by the mean of its keys: a step reads the chunks that its queries weigh most. What
 * sentences have to beat. Holds every row. A KV head's queries choose together, by the softmax of their scores over the
 * chunks, summed. The last chunk chosen is cut where the budget ends.
 */
export function fixedChunks(options: FixedChunksOptions): CachePolicy {
  const budget = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'chunk',
    effects: Object.freeze<Effects>({ slots: ['retain', 'append', 'select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities('chunk', engine, ['select.runs', 'observe.query', 'observe.keys']),
    open: (sequence) => BlockSession.open(sequence, budget, meanKey),
  })
}

function resolveOptions(options: FixedChunksOptions): BlockBudget {
  checkKeys('FixedChunksOptions', options, ['budgetTokens', 'sizeTokens', 'sinkTokens', 'recentTokens'])
  const blockTokens = checkInteger('sizeTokens', options.sizeTokens ?? 16, 1)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const budgetTokens = checkBudget(options.budgetTokens, sinkTokens + Math.max(recentTokens, blockTokens))
  return { budgetTokens, blockTokens, sinkTokens, recentTokens }
}
