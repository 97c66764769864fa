import { checkInteger, checkKeys } from '@kvasir/core'
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
   * @default ['en', 'de', 'fr', 'es', 'hi']
   */
  readonly languages?: readonly Language[]
  /**
   * The sentences inside of one quotation or pair of brackets stay together while they are shorter than this, in UTF-16 units; in
   * Chinese and Japanese a third of it. 0 cuts each. 0 to 4096.
   * @default 240
   */
  readonly maxQuotedUnits?: number
}

export const sentenceOptionKeys = ['languages', 'maxQuotedUnits'] as const

export function resolveSentenceOptions(options: SentenceOptions): Required<SentenceOptions> {
  checkKeys('SentenceOptions', options, sentenceOptionKeys)
  return withSentenceDefaults(options)
}

export function withSentenceDefaults({ languages, maxQuotedUnits }: SentenceOptions): Required<SentenceOptions> {
  return {
    languages: languages ?? allLanguages,
    maxQuotedUnits: checkInteger('maxQuotedUnits', maxQuotedUnits ?? 240, 0, 4096),
  }
}
