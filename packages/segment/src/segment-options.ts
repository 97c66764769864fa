import { checkInteger, checkKeys } from '@kvasir/core'
import { allLanguages } from './lexicon.ts'
import { type SentenceOptions, sentenceOptionKeys } from './sentence.ts'

export interface SegmentOptions extends SentenceOptions {
  /**
   * A shorter sentence is joined with what follows it, so every segment but the last has at least this many tokens. At least 1.
   * @default 4
   */
  readonly minTokens?: number
  /**
   * A longer sentence is cut at its last clause mark (, ; : or newline) that fits, else between words, else anywhere. At least minTokens.
   * @default 64
   */
  readonly maxTokens?: number
}

export function resolveSegmentOptions(options: SegmentOptions): Required<SegmentOptions> {
  checkKeys('SegmentOptions', options, [...sentenceOptionKeys, 'minTokens', 'maxTokens'])
  const minTokens = checkInteger('SegmentOptions.minTokens', options.minTokens ?? 4, 1)
  const maxTokens = checkInteger('SegmentOptions.maxTokens', options.maxTokens ?? 64, minTokens)
  return { languages: options.languages ?? allLanguages, minTokens, maxTokens }
}
