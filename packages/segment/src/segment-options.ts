import { checkInteger, checkKeys } from '@kvasir/core'
import { type SentenceOptions, sentenceOptionKeys, withSentenceDefaults } from './sentence.ts'

export interface SegmentOptions extends SentenceOptions {
  /**
   * A shorter sentence is joined with what follows it, so every segment but the last has at least this many tokens. At least 1.
   * @default 4
   */
  readonly minTokens?: number
  /**
   * A longer sentence is cut where its last inner sentence (of a quotation) ends that fits, else at the last clause mark (, ; : or newline), else between words, else anywhere. At least minTokens.
   * @default 64
   */
  readonly maxTokens?: number
}

export function resolveSegmentOptions(options: SegmentOptions): Required<SegmentOptions> {
  checkKeys('SegmentOptions', options, [...sentenceOptionKeys, 'minTokens', 'maxTokens'])
  const minTokens = checkInteger('SegmentOptions.minTokens', options.minTokens ?? 4, 1)
  const maxTokens = checkInteger('SegmentOptions.maxTokens', options.maxTokens ?? 64, minTokens)
  return { ...withSentenceDefaults(options), minTokens, maxTokens }
}
