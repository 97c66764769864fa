import { type CachePolicy, checkInteger, checkKeys, type Effects, requireCapabilities } from '@kvasir/core'
import type { BlockBudget } from './block-choice.ts'
import type { BlockSummary } from './block-index.ts'
import { BlockSession } from './block-session.ts'
import { checkBudget } from './budget.ts'

export interface QuestOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** Tokens of a page. @default 16 */
  readonly pageTokens?: number
  /** First tokens of the sequence, always read; 0: as published. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read; the last page always is; 1: as published. @default 16 */
  readonly recentTokens?: number
}

/**
 * Quest (Tang et al. 2024, arXiv 2406.10774): each page keeps the least and the largest value of every key channel; a
 * step reads the pages with the largest upper bound of q.k, and the last page. Holds every row. A KV head's queries choose
 * together: a page counts by its largest bound for any of them. The last page chosen is cut where the budget ends.
 */
export function quest(options: QuestOptions): CachePolicy {
  const budget = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'quest',
    effects: Object.freeze<Effects>({ slots: ['retain', 'append', 'select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities('quest', engine, ['select.runs', 'observe.query', 'observe.keys']),
    open: (sequence) => BlockSession.open(sequence, budget, channelBounds),
  })
}

function resolveOptions(options: QuestOptions): BlockBudget {
  checkKeys('QuestOptions', options, ['budgetTokens', 'pageTokens', 'sinkTokens', 'recentTokens'])
  const blockTokens = checkInteger('pageTokens', options.pageTokens ?? 16, 1)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const budgetTokens = checkBudget(options.budgetTokens, sinkTokens + Math.max(recentTokens, blockTokens))
  return { budgetTokens, blockTokens, sinkTokens, recentTokens }
}

/** Vector 0: the largest value of each channel; vector 1: the least. */
const channelBounds: BlockSummary = {
  numVectors: 2,
  join: 'largest',
  vectorFor: (queryChannel) => (queryChannel >= 0 ? 0 : 1),
  summarise(keys, headDim, vectors) {
    vectors.fill(Number.NEGATIVE_INFINITY, 0, headDim)
    vectors.fill(Number.POSITIVE_INFINITY, headDim)
    for (let at = 0; at < keys.length; at++) {
      const channel = at % headDim
      vectors[channel] = Math.max(vectors[channel], keys[at])
      vectors[headDim + channel] = Math.min(vectors[headDim + channel], keys[at])
    }
  },
}
