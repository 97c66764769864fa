import type { CachePolicy } from '@kvasir/core'
import { type BlockOptions, blockPolicy } from './block-policy.ts'
import { meanKey } from './mean-key.ts'

export interface FixedChunksOptions extends BlockOptions {
  /** Tokens of a chunk. @default 16 */
  readonly sizeTokens?: number
}

/**
 * Chunks of a fixed length, each known by the mean of its keys: a step reads the chunks that its queries weigh most. What
 * sentences have to beat. Holds every row. A KV head's queries choose together, by the softmax of their scores over the
 * chunks, summed. The last chunk chosen is cut where the budget ends.
 */
export function fixedChunks(options: FixedChunksOptions): CachePolicy {
  return blockPolicy('chunk', options, { type: 'FixedChunksOptions', sizeKey: 'sizeTokens', summary: meanKey })
}
