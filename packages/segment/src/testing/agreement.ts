import { segment } from 'sentencex'
import type { Language } from '../lexicon.ts'
import type { SentenceOptions } from '../sentence.ts'
import { sentences } from '../sentences.ts'

/** How well two sets of boundaries agree. A boundary is the offset of a sentence's first visible character, the first sentence's excepted. */
export interface Agreement {
  readonly numOurs: number
  readonly numTheirs: number
  readonly numBoth: number
  readonly f1: number
  /** Share of our boundaries that they have, and of theirs that we have. */
  readonly precision: number
  readonly recall: number
  readonly oursOnly: readonly number[]
  readonly theirsOnly: readonly number[]
}

const isListed = (language: string): language is Language => ['en', 'de', 'fr', 'es', 'hi'].includes(language)

export function ourStarts(language: string, text: string, options: SentenceOptions = {}): Set<number> {
  const languages = isListed(language) ? { languages: [language] } : {}
  const starts = sentences(text, { ...languages, ...options }).map(({ start }) => firstVisible(text, start))
  return new Set(starts.filter((start) => start > firstVisible(text, 0) && start < text.length))
}

/** Boundaries of sentencex. Its offsets drift, so its pieces are looked up in the text instead. */
export function theirStarts(language: string, text: string): Set<number> {
  const starts = new Set<number>()
  let end = 0
  for (const piece of segment(language, text)) {
    const visible = piece.trim()
    if (visible === '') continue
    const start = text.indexOf(visible, end)
    if (start < 0) throw new Error(`sentencex lost ${visible}`)
    starts.add(start)
    end = start + visible.length
  }
  starts.delete(firstVisible(text, 0))
  return starts
}

/** Takes the bars out of `marked` and returns the text with the boundaries that they stand for. */
export function readMarked(marked: string): { text: string; starts: Set<number> } {
  const pieces = marked.split('⏐')
  const text = pieces.join('')
  const starts = new Set<number>()
  let end = 0
  for (const piece of pieces.slice(0, -1)) {
    end += piece.length
    starts.add(firstVisible(text, end))
  }
  return { text, starts }
}

export function agreementOf(ours: ReadonlySet<number>, theirs: ReadonlySet<number>): Agreement {
  const oursOnly = [...ours].filter((start) => !theirs.has(start))
  const theirsOnly = [...theirs].filter((start) => !ours.has(start))
  const numBoth = ours.size - oursOnly.length
  return {
    numOurs: ours.size,
    numTheirs: theirs.size,
    numBoth,
    f1: (2 * numBoth) / (ours.size + theirs.size),
    precision: numBoth / ours.size,
    recall: numBoth / theirs.size,
    oursOnly,
    theirsOnly,
  }
}

function firstVisible(text: string, start: number): number {
  let offset = start
  while (offset < text.length && /\s/.test(text[offset])) offset++
  return offset
}
