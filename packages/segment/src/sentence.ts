import { checkKeys } from '@kvasir/core'
import { allLanguages, type Language } from './lexicon.ts'

/** What the text of a sentence is. `chat` is a turn of a transcript ("Name: ..."). */
export type SentenceKind = 'prose' | 'heading' | 'list' | 'table' | 'code' | 'chat'

/** A sentence: the half-open range [start, end) of UTF-16 code units. Space after a sentence belongs to it, indentation to the next line. */
export interface Sentence {
  readonly start: number
  readonly end: number
  readonly kind: SentenceKind
}

export interface SentenceOptions {
  /**
   * Whose abbreviations are known. Fewer languages mean fewer clashes between their word lists; texts of any other language
   * are segmented too.
   * @default ['en', 'de', 'fr', 'es']
   */
  readonly languages?: readonly Language[]
}

export const sentenceOptionKeys = ['languages'] as const

export function resolveSentenceOptions(options: SentenceOptions): Required<SentenceOptions> {
  checkKeys('SentenceOptions', options, sentenceOptionKeys)
  return { languages: options.languages ?? allLanguages }
}
