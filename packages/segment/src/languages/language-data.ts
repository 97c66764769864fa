/** What the period rule must know of a language. Words are separated by spaces and stand without their last period. */
export interface LanguageData {
  /** Abbreviations that never close a sentence: titles and words that demand a continuation. */
  readonly never: string
  /** Abbreviations only where a number follows ("No. 5"); ordinary words elsewhere. */
  readonly beforeNumber: string
  /** Abbreviations that may also close a sentence: they do so only before an opener. */
  readonly maybe: string
  /** Words that, capitalised, open a sentence and are no part of a name. */
  readonly openers: string
  /** Capitalised words that may follow an ordinal written with a period ("3. Oktober"). */
  readonly afterOrdinal: string
  /** Verbs that follow a capital "I" after a quotation ("Run!" I cried): English alone has them. */
  readonly speech: string
}
