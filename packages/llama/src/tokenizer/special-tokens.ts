import type { TokenKind, Vocabulary } from './vocabulary.ts'

/** A stretch of text: plain, or one special token. `start` and `end` are UTF-16 offsets. */
interface Stretch {
  readonly start: number
  readonly end: number
  /** null for plain text. */
  readonly id: number | null
}

/** Cuts text at the tokens that are matched before any merging: the leftmost, of those the longest. */
export type SpecialSplitter = (text: string) => Iterable<Stretch>

/** A splitter for the tokens of the given kinds. */
export function specialSplitter(vocabulary: Vocabulary, kinds: readonly TokenKind[]): SpecialSplitter {
  const texts = vocabulary.tokens.filter((text, id) => text !== '' && kinds.includes(vocabulary.kinds[id]))
  if (texts.length === 0) return (text) => [{ start: 0, end: text.length, id: null }]
  // A regular expression takes the first alternative that fits: longest first makes it the longest.
  const alternatives = texts
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  const pattern = new RegExp(alternatives.join('|'), 'gu')
  return function* split(text) {
    let end = 0
    for (const match of text.matchAll(pattern)) {
      if (match.index > end) yield { start: end, end: match.index, id: null }
      end = match.index + match[0].length
      yield { start: match.index, end, id: vocabulary.index.find(match[0]) }
    }
    if (end < text.length) yield { start: end, end: text.length, id: null }
  }
}
