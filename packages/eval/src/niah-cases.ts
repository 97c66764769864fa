import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KvasirError, type Span } from '@kvasir/core'
import { findData, readJsonLines } from './data-folder.ts'
import type { CaseFilter, CaseList, Question, QuestionCase } from './eval-case.ts'
import { filterCases } from './filter-cases.ts'

/** One line of `niah/cases.jsonl`: a stretch of a long text with sentences put into it. */
interface NiahRecord {
  readonly id: string
  readonly kind: 'fact' | 'code' | 'multikey' | 'multivalue'
  readonly length: number
  readonly depth: number | null
  readonly haystack: string
  /** Characters of the haystack. */
  readonly start: number
  readonly end: number
  /** `at` counts in the haystack, ascending. */
  readonly inserts: readonly { readonly at: number; readonly text: string }[]
  readonly question: string
  readonly answer_prefix: string
  readonly answers: readonly string[]
}

const instruction = 'Read the following text carefully. A question about one detail of it follows at the end.'
const newTokens = 32

/** Needles in a haystack: one question about one of the sentences put in. */
export function listNiahCases(dataDir: string, filter: CaseFilter): CaseList {
  return listFrom(dataDir, filter, (record, text) => [caseOf('niah', record, text, [askedQuestion(record)])])
}

/** The needles with several keys, all asked for in turn over one cache: the case's own question first. */
export function listTurnsCases(dataDir: string, filter: CaseFilter): CaseList {
  return listFrom(dataDir, filter, (record, text) => {
    if (record.kind !== 'multikey') return []
    const asked = askedQuestion(record)
    const others = record.inserts.map(({ text }) => codeQuestion(text)).filter(({ text }) => text !== asked.text)
    return [caseOf('turns', record, text, [asked, ...others])]
  })
}

function listFrom(
  dataDir: string,
  filter: CaseFilter,
  casesOf: (record: NiahRecord, text: PreparedText) => QuestionCase[],
): CaseList {
  const list = join('niah', 'cases.jsonl')
  const path = findData(dataDir, list)
  if (path === null) return { cases: [], missing: [join(dataDir, list)] }
  const missing = new Set<string>()
  const haystacks = new Map<string, string | null>()
  const cases: QuestionCase[] = []
  for (const record of readJsonLines<NiahRecord>(path)) {
    const { haystack } = record
    if (!haystacks.has(haystack)) {
      const found = findData(dataDir, haystack)
      haystacks.set(haystack, found && readFileSync(found, 'utf8'))
    }
    const text = haystacks.get(haystack)
    if (text) cases.push(...casesOf(record, insertNeedles(text, record)))
    else missing.add(join(dataDir, haystack))
  }
  return { cases: filterCases(cases, filter), missing: [...missing] }
}

/** The text of a case and where its inserts stand in it, in their order. */
export interface PreparedText {
  readonly text: string
  readonly spans: readonly Span[]
}

/** haystack[start, end) with each insert and one space put in at its place. */
export function insertNeedles(
  haystack: string,
  { start, end, inserts }: Pick<NiahRecord, 'start' | 'end' | 'inserts'>,
): PreparedText {
  let text = ''
  let from = start
  const spans = inserts.map((insert) => {
    text += haystack.slice(from, insert.at)
    from = insert.at
    const span = { start: text.length, end: text.length + insert.text.length }
    text += `${insert.text} `
    return span
  })
  return { text: text + haystack.slice(from, end), spans }
}

function caseOf(
  suite: 'niah' | 'turns',
  { id, kind, length, depth, inserts, answers }: NiahRecord,
  { text, spans }: PreparedText,
  questions: readonly Question[],
): QuestionCase {
  const before = `${instruction}\n\n`
  const holdsAnswer = (_: Span, i: number) => answers.some((answer) => inserts[i].text.includes(answer))
  const needles = spans
    .filter(holdsAnswer)
    .map((span) => ({ start: before.length + span.start, end: before.length + span.end }))
  const fields = { kind, depth }
  return { suite, id, length, mode: 'A', fields, context: before + text, needles, questions, rule: 'all' }
}

function askedQuestion({ question, answer_prefix, answers }: NiahRecord): Question {
  return { text: `\n\n${question}`, answerPrefix: answer_prefix, answers, maxNewTokens: newTokens }
}

/** The question that "The access code for KEY is CODE." answers. */
function codeQuestion(needle: string): Question {
  const [, key, code] = /^The access code for (\S+) is (\S+)\.$/.exec(needle) ?? []
  if (code === undefined) {
    throw new KvasirError({ parameter: 'inserts', expected: '"The access code for KEY is CODE."', got: needle })
  }
  return {
    text: `\n\nWhat is the access code for ${key}?`,
    answerPrefix: ` The access code for ${key} is`,
    answers: [code],
    maxNewTokens: newTokens,
  }
}
