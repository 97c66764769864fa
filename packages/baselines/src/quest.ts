import type { CachePolicy } from '@kvasir/core'
import type { BlockSummary } from './block-index.ts'
import { type BlockOptions, blockPolicy } from './block-policy.ts'

export interface QuestOptions extends BlockOptions {
  /** Tokens of a page. @default 16 */
  readonly pageTokens?: number
}

/**
 * Quest (Tang et al. 2024, arXiv 2406.10774): each page keeps the least and the largest value of every key channel; a
 * step reads the pages with the largest upper bound of q.k, and the last page. Holds every row. A KV head's queries choose
 * together: a page counts by its largest bound for any of them. The last page chosen is cut where the budget ends. As
 * published: `sinkTokens: 0` and `recentTokens: 1`.
 */
export function quest(options: QuestOptions): CachePolicy {
  return blockPolicy('quest', options, { type: 'QuestOptions', sizeKey: 'pageTokens', summary: channelBounds })
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
