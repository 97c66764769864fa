import type { Sentence, SentenceOptions } from './sentence.ts'
import { SentenceStream } from './sentence-stream.ts'

/**
 * Cuts `text` into sentences, list items, table rows, headings, statements and turns. The ranges tile the text: each begins where the
 * one before it ends, the first at 0, the last ends at `text.length`. An empty text has none.
 *
 * @throws OptionError for an unknown option or language, or a text that is no string
 */
export function sentences(text: string, options: SentenceOptions = {}): Sentence[] {
  return new SentenceStream(options).end(text).map(({ start, end, kind }) => ({ start, end, kind }))
}
