import { join } from 'node:path'
import { findData, readJsonLines } from './data-folder.ts'
import type { CaseFilter, CaseList, QuestionCase } from './eval-case.ts'
import { filterCases } from './filter-cases.ts'
import { splitQuestion } from './split-question.ts'

/** One line of `longbench/mini.jsonl`. */
interface LongbenchRecord {
  readonly id: string
  readonly task: string
  readonly prompt: string
  readonly answers: readonly string[]
  readonly metric: 'token_f1' | 'rouge_l'
}

/** Prompts here have lengths of their own, all below this; results give it as their length. */
const longbenchTokens = 8192

/** New tokens a task, as LongBench has them (Bai et al. 2024). */
const newTokens: Readonly<Record<string, number>> = { qasper: 128, gov_report: 512 }

export function listLongbenchCases(dataDir: string, filter: CaseFilter): CaseList {
  const list = join('longbench', 'mini.jsonl')
  const path = findData(dataDir, list)
  if (path === null) return { cases: [], missing: [join(dataDir, list)] }
  const { lengths: _, ...rest } = filter
  return { cases: filterCases(readJsonLines<LongbenchRecord>(path).map(caseOf), rest), missing: [] }
}

function caseOf({ id, task, prompt, answers, metric }: LongbenchRecord): QuestionCase {
  const { context, question } = splitQuestion(prompt)
  return {
    suite: 'longbench',
    id,
    length: longbenchTokens,
    mode: 'A',
    fields: { task },
    context,
    needles: [],
    questions: [{ text: question, answerPrefix: '', answers, maxNewTokens: newTokens[task] ?? 32 }],
    rule: metric,
  }
}
