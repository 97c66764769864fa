import type { Span } from '@kvasir/core'
import type { PairCase, PairKind } from './pairs/pair-case.ts'

/**
 * Where the policy begins. A: the user's turn, question included, is prefilled densely. B: only the text before the
 * question is. P: everything up to the first new token is, as published comparisons do.
 */
export type Mode = 'A' | 'B' | 'P'

export const modes: readonly Mode[] = ['A', 'B', 'P']

/** One passage of a book: the text before `anchor` is context, the text from it on is scored. */
export interface WindowCase {
  readonly suite: 'windows'
  readonly id: string
  /** Tokens of context. */
  readonly length: number
  readonly mode: null
  /** Path of the book. */
  readonly path: string
  /** Character offset. */
  readonly anchor: number
}

/** How a reply is scored against the answers; see scoring.ts. */
export type ScoreRule = 'all' | 'any' | 'token_f1' | 'rouge_l'

/** One question, and how its reply begins. */
export interface Question {
  readonly text: string
  /** Start of the reply, '' for none. */
  readonly answerPrefix: string
  readonly answers: readonly string[]
  readonly maxNewTokens: number
}

/** A text and one question about it, or several in turn over one cache. */
export interface QuestionCase {
  readonly suite: 'niah' | 'ruler' | 'longbench' | 'turns'
  readonly id: string
  readonly length: number
  readonly mode: Mode
  /** What else a result says of the case: kind and depth, or task. */
  readonly fields: Readonly<Record<string, string | number | null>>
  /** The user's first turn up to the question. */
  readonly context: string
  /** Where the answers stand: character spans of `context`. */
  readonly needles: readonly Span[]
  readonly questions: readonly Question[]
  readonly rule: ScoreRule
}

export type EvalCase = WindowCase | QuestionCase | PairCase

export type SuiteName = EvalCase['suite']

/** What a suite finds below a data folder. */
export interface CaseList {
  readonly cases: readonly EvalCase[]
  /** Files that are not there; their cases are left out. */
  readonly missing: readonly string[]
}

export interface CaseFilter {
  /** Lengths wanted; for suites that have them. @default all */
  readonly lengths?: readonly number[]
  /** First cases of each length, of `pairs` of each kind and length. @default all */
  readonly limit?: number
  /** Each case runs once a mode; for suites that have modes. @default A */
  readonly modes?: readonly Mode[]
  /** Kinds wanted of `pairs`. @default all */
  readonly kinds?: readonly PairKind[]
}
