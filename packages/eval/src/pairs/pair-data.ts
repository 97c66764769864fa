import { join } from 'node:path'
import { findData, readJsonLines } from '../data-folder.ts'
import type { Passage } from './passages.ts'

export type Level = 'adv' | 'int' | 'ele'

/** An article written three times. */
export interface Article {
  readonly id: string
  readonly adv: string
  readonly int: string
  readonly ele: string
  readonly approx_tokens: Readonly<Record<Level, number>>
}

type Part = readonly [article: string, level: Level]

/** One line of `onestop_plan.jsonl`. */
export interface PlannedPair {
  readonly id: string
  readonly length: number
  readonly target: readonly Part[]
  readonly reference: readonly Part[]
  readonly reference_level: Level
  /** Rotated: the articles stand in another order. */
  readonly reference_order: 'same' | 'rotated'
  /** Id of the plan whose reference is unrelated. */
  readonly unrelated_reference: string
}

export type Translation = 'twenty' | 'oeb' | 'noyes' | 'anderson'

/** A chapter in four translations. */
export interface Chapter {
  readonly id: string
  readonly book: string
  readonly columns: readonly string[]
  readonly verses: readonly (readonly (string | number)[])[]
  readonly approx_tokens: Readonly<Record<Translation, number>>
  readonly complete: boolean
}

/** News articles about one event. */
interface Cluster {
  readonly id: string
  readonly articles: readonly string[]
  readonly approx_tokens: readonly number[]
}

/** The texts of all pairs; an empty list where a file is not there. */
export interface PairTexts {
  readonly articles: readonly Article[]
  readonly plans: readonly PlannedPair[]
  readonly chapters: readonly Chapter[]
  readonly clusters: readonly Cluster[]
  readonly missing: readonly string[]
}

export function readPairTexts(dataDir: string): PairTexts {
  const missing: string[] = []
  const read = <T>(name: string): T[] => {
    const path = findData(dataDir, join('pairs', name))
    if (path === null) missing.push(join(dataDir, 'pairs', name))
    return path === null ? [] : readJsonLines<T>(path)
  }
  return {
    articles: read<Article>('onestop.jsonl'),
    plans: read<PlannedPair>('onestop_plan.jsonl'),
    chapters: read<Chapter>('nt.jsonl'),
    clusters: read<Cluster>('multinews.jsonl'),
    missing,
  }
}

export function passageOf(article: Article, level: Level): Passage {
  return { id: article.id, text: article[level], tokens: article.approx_tokens[level] }
}

/** A chapter in one translation, a verse a line. */
export function chapterPassage({ id, columns, verses, approx_tokens }: Chapter, translation: Translation): Passage {
  const column = columns.indexOf(translation)
  return { id, text: verses.map((verse) => verse[column]).join('\n'), tokens: approx_tokens[translation] }
}
