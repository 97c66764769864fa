import { checkOneOf, OptionError } from '@kvasir/core'
import { english } from './languages/english.ts'
import { french } from './languages/french.ts'
import { german } from './languages/german.ts'
import { hindi } from './languages/hindi.ts'
import type { LanguageData } from './languages/language-data.ts'
import { spanish } from './languages/spanish.ts'

/** Languages with a list of abbreviations. Texts of other languages need none of them to be segmented. */
export type Language = 'en' | 'de' | 'fr' | 'es' | 'hi'

type AbbreviationKind = 'never' | 'beforeNumber' | 'maybe'

/** The word lists of one or more languages, as look-ups. */
export interface Lexicon {
  readonly abbreviations: ReadonlyMap<string, AbbreviationKind>
  readonly openers: ReadonlySet<string>
  readonly afterOrdinal: ReadonlySet<string>
  readonly speech: ReadonlySet<string>
}

const dataOf: Readonly<Record<Language, LanguageData>> = { en: english, de: german, fr: french, es: spanish, hi: hindi }
export const allLanguages: readonly Language[] = ['en', 'de', 'fr', 'es', 'hi']
const built = new Map<string, Lexicon>()

/** The merged lexicon of `languages`; built once for each set of languages. */
export function lexiconFor(languages: readonly Language[]): Lexicon {
  const isList: boolean = Array.isArray(languages)
  if (!isList) {
    throw new OptionError({
      parameter: 'languages',
      expected: `an array of ${allLanguages.join(', ')}`,
      got: languages,
    })
  }
  for (const language of languages) checkOneOf('languages', language, allLanguages)
  const key = [...new Set(languages)].sort().join()
  let lexicon = built.get(key)
  if (lexicon === undefined) {
    lexicon = build(languages.map((language) => dataOf[language]))
    built.set(key, lexicon)
  }
  return lexicon
}

function build(data: readonly LanguageData[]): Lexicon {
  const words = (field: keyof LanguageData) =>
    data.flatMap((one) => one[field].split(' ').filter((word) => word !== ''))
  const abbreviations = new Map<string, AbbreviationKind>()
  // Later kinds win: where two languages disagree, the reading that can still close a sentence is kept.
  for (const kind of ['beforeNumber', 'never', 'maybe'] as const) {
    for (const word of words(kind)) {
      abbreviations.set(word, kind)
      abbreviations.set(word.charAt(0).toUpperCase() + word.slice(1), kind)
      if (word.length > 1) abbreviations.set(word.toUpperCase(), kind)
    }
  }
  return {
    abbreviations,
    openers: new Set(words('openers')),
    afterOrdinal: new Set(words('afterOrdinal')),
    speech: new Set(words('speech')),
  }
}
