import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findAllData, readJsonLines } from './data-folder.ts'
import type { CaseFilter, CaseList, QuestionCase } from './eval-case.ts'
import { filterCases } from './filter-cases.ts'
import { splitQuestion } from './split-question.ts'

/** One line of `ruler/LENGTH/TASK.jsonl`. */
interface RulerRecord {
  readonly id: string
  readonly task: string
  readonly length: number
  readonly prompt: string
  readonly answer_prefix: string
  readonly answers: readonly string[]
  readonly max_new_tokens: number
}

/** All tasks of each length in turn, a case of each at a time, so that a limit leaves some of every task. */
export function listRulerCases(dataDir: string, filter: CaseFilter): CaseList {
  const folders = findAllData(dataDir, 'ruler')
  if (folders.length === 0) return { cases: [], missing: [join(dataDir, 'ruler')] }
  const lengths = new Set(folders.flatMap((folder) => readdirSync(folder)).filter((name) => /^\d+$/.test(name)))
  const cases: QuestionCase[] = []
  for (const length of [...lengths].sort((a, b) => Number(a) - Number(b))) {
    const files = folders.flatMap((folder) => findAllData(folder, length)).flatMap(listJsonLines)
    const tasks = files.map((file) => readJsonLines<RulerRecord>(file).map(caseOf))
    const most = Math.max(...tasks.map((task) => task.length))
    for (let i = 0; i < most; i++) cases.push(...tasks.flatMap((task) => task.slice(i, i + 1)))
  }
  return { cases: filterCases(cases, filter), missing: [] }
}

function listJsonLines(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
  return names.sort().map((name) => join(folder, name))
}

function caseOf({ id, task, length, prompt, answer_prefix, answers, max_new_tokens }: RulerRecord): QuestionCase {
  const { context, question } = splitQuestion(prompt)
  return {
    suite: 'ruler',
    id,
    length,
    mode: 'A',
    fields: { task },
    context,
    needles: [],
    questions: [{ text: question, answerPrefix: answer_prefix, answers, maxNewTokens: max_new_tokens }],
    rule: task.startsWith('qa_') ? 'any' : 'all',
  }
}
