import { countedCells, countedShare, pairWithFull } from '../analysis.ts'
import { fieldOf } from '../fields.ts'
import { formatCount, formatFixed } from '../format.ts'
import { type Content, html } from '../html.ts'
import type { CaseRow } from '../results.ts'
import { answerArms, answersFigure, answersTable } from './answers.ts'
import { armDifferences, differenceSection } from './differences.ts'
import { mapFigure } from './maps.ts'
import { memorySection } from './memory.ts'
import { recallFigures } from './recall.ts'
import { repliesTable } from './replies.ts'
import { lengthsOf, lengthText, type SuiteResults } from './section.ts'

/** What the answers of a suite are called and where its cases lie. */
export interface RetrievalSuite {
  readonly title: string
  /** Share of right answers of a case, 0 to 1. */
  readonly field: string
  /** Rows of the maps. */
  readonly axis: string
}

/** Answers that have to be found in the context: needles and RULER tasks. */
export function retrievalSection(results: SuiteResults, { title, field, axis }: RetrievalSuite): Content {
  const { suite, cases, groups, styles } = results
  const isCounted = countedCells(cases, field)
  const counted = cases.filter(isCounted)
  const answers = fieldOf(field)
  const arms = answerArms(results, isCounted, field)
  const hasFull = cases.some(pairWithFull(cases, field))
  return html`<section><h2>${suite}: ${title}</h2>
<p>Kinds and tasks of which the full cache has fewer than ${formatCount(100 * countedShare)} % at a length and mode are not counted:
where nothing else is, tables say so and maps have n/c, and no pooled figure holds them.${hasFull ? null : ' Nothing is known of the full cache here, so all cases count.'}</p>
${[
  answersFigure(arms, answers, styles),
  answersTable(arms, answers, styles),
  mapFigure(results, { field, axis, isCounted }),
  answerDifferences(counted, results, field),
  nllDifferences(counted, results),
  recallFigures(cases, styles),
  lengthsOf(groups).map((length) => {
    const memory = memorySection(
      groups.filter((row) => row.length === length),
      styles,
    )
    return html`<h3>Memory at ${lengthText(length)}</h3>${memory}`
  }),
  repliesTable(results, field),
]}</section>`
}

function answerDifferences(counted: readonly CaseRow[], { styles }: SuiteResults, field: string): Content {
  const pairOf = pairWithFull(counted, field)
  const percentPair = (row: CaseRow) => {
    const pair = pairOf(row)
    return pair && { own: 100 * pair.own, full: 100 * pair.full }
  }
  return differenceSection(armDifferences(counted, percentPair, 'more'), styles, {
    what: 'answers',
    axis: 'right answers, points',
    format: (value) => formatFixed(value, 1),
    caption: 'Paired difference in right answers to the full cache, in percentage points, on the same cases.',
  })
}

function nllDifferences(counted: readonly CaseRow[], { styles }: SuiteResults): Content {
  return differenceSection(armDifferences(counted, pairWithFull(counted, 'goldNllNats'), 'less'), styles, {
    what: 'gold NLL',
    axis: 'gold NLL more, nats',
    format: (value) => formatFixed(value, 4),
    caption: 'Paired difference in the NLL of the right answer to the full cache, on the same cases.',
  })
}
