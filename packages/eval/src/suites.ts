import { OptionError } from '@kvasir/core'
import { listWindowCases, scoredTokens } from './book-windows.ts'
import type { CaseFilter, CaseList, EvalCase, QuestionCase, SuiteName } from './eval-case.ts'
import { listLongbenchCases } from './longbench-cases.ts'
import { listNiahCases, listTurnsCases } from './niah-cases.ts'
import { listPairCases } from './pairs/list-pairs.ts'
import { listRulerCases } from './ruler-cases.ts'

interface Suite {
  readonly list: (dataDir: string, filter: CaseFilter) => CaseList
  readonly hasModes: boolean
  readonly hasLengths: boolean
  readonly hasKinds?: boolean
}

/** Every suite by its name. */
const suites: Readonly<Record<SuiteName, Suite>> = {
  windows: { list: listWindowCases, hasModes: false, hasLengths: true },
  niah: { list: listNiahCases, hasModes: true, hasLengths: true },
  ruler: { list: listRulerCases, hasModes: true, hasLengths: true },
  longbench: { list: listLongbenchCases, hasModes: true, hasLengths: false },
  turns: { list: listTurnsCases, hasModes: true, hasLengths: true },
  pairs: { list: listPairCases, hasModes: false, hasLengths: true, hasKinds: true },
}

export const suiteNames = Object.keys(suites) as readonly SuiteName[]

/**
 * The cases of a suite below a data folder: the folder that holds `open/` and `restricted/`, or one of those. Throws
 * OptionError for a filter that the suite does not know, and for lengths of which there is no case.
 */
export function listCases(name: SuiteName, dataDir: string, filter: CaseFilter = {}): CaseList {
  const { list, hasModes, hasLengths, hasKinds = false } = suites[name]
  if (filter.kinds && !hasKinds) {
    throw new OptionError({ parameter: 'kind', expected: `no kind for ${name}`, got: filter.kinds })
  }
  if (filter.modes && !hasModes) {
    throw new OptionError({ parameter: 'mode', expected: `no mode for ${name}`, got: filter.modes })
  }
  if (filter.lengths && !hasLengths) {
    throw new OptionError({ parameter: 'length', expected: `no length for ${name}`, got: filter.lengths })
  }
  const found = list(dataDir, filter)
  const absent = filter.lengths?.filter((length) => !found.cases.some((one) => one.length === length))
  if (absent?.length) {
    const there = [...new Set(list(dataDir, {}).cases.map(({ length }) => length))]
    if (there.length > 0) {
      throw new OptionError({ parameter: 'length', expected: `out of ${there.join(', ')} for ${name}`, got: absent })
    }
  }
  return found
}

/** Room that a model needs to run the cases with so many arms beside the full cache. */
export interface ModelRoom {
  /** null: the model's own default. */
  readonly contextTokens: number | null
  readonly kvCapacityTokens: number
  readonly maxBatch: number
}

/** Most tokens of context of the suites with questions; the memory is taken only as it fills. */
const questionContext = 8192

/**
 * Room for one prompt and what each sequence beside it appends; questions take two sequences an arm. Pairs run one arm at a
 * time: the full recompute stands, and the arm beside it.
 */
export function modelRoom(cases: readonly EvalCase[], numArms: number): ModelRoom {
  if (cases.every((one) => one.suite === 'pairs')) {
    return { contextTokens: null, maxBatch: 1, kvCapacityTokens: 2 * questionContext + 64 }
  }
  const maxBatch = numArms + 1
  const windows = cases.filter((one) => one.suite === 'windows')
  if (windows.length === cases.length) {
    const contextTokens = Math.max(...windows.map(({ length }) => length)) + scoredTokens
    // Two pages of 16 more an arm: the copy of the shared last page, and the one that is not full.
    return { contextTokens, maxBatch, kvCapacityTokens: contextTokens + maxBatch * (scoredTokens + 32) }
  }
  const tails = cases.map((one) => ('questions' in one ? tailTokens(one) : scoredTokens))
  const tail = Math.min(questionContext, Math.max(...tails))
  return { contextTokens: null, maxBatch, kvCapacityTokens: questionContext + 2 * maxBatch * (tail + 32) }
}

/** At most one token a byte of what follows the context, and the turns' own markup. */
function tailTokens({ questions }: QuestionCase): number {
  const bytes = questions.map(({ text, answerPrefix, answers, maxNewTokens }) => {
    return Buffer.byteLength(text + answerPrefix) + Math.min(maxNewTokens, Buffer.byteLength(answers[0]) + 1)
  })
  const most = Math.max(...questions.map(({ maxNewTokens }) => maxNewTokens))
  return bytes.reduce((sum, count) => sum + count + 64, most)
}
