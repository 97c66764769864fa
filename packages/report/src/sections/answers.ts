import type { Estimate } from '@kvasir/eval'
import { estimateOf, groupBy, meanOf, pairWithFull, scaleEstimate, valuesOf } from '../analysis.ts'
import { type Field, fieldOf } from '../fields.ts'
import { renderFigure } from '../figure.ts'
import { formatCount } from '../format.ts'
import type { Markup } from '../html.ts'
import { budgetLines } from '../plots/budget-lines.ts'
import type { PolicyStyle } from '../policies.ts'
import type { CaseRow } from '../results.ts'
import { type Cell, type Column, estimateCell, renderTable } from '../table.ts'
import { armCell, armKey, lengthsOf, modesOf, type SuiteResults, sortArms, styleOf } from './section.ts'

/** One policy at one budget and mode over all lengths. */
export interface AnswerArm {
  readonly policy: string
  readonly budget: number | null
  readonly mode: string | null
  readonly rows: readonly CaseRow[]
  readonly countedRows: readonly CaseRow[]
  /** Over the counted rows, by field. */
  readonly pooled: Readonly<Record<string, Estimate | undefined>>
  /** Mean of the full cache on the same rows, by field. */
  readonly full: Readonly<Record<string, number | undefined>>
}

export function answerArms(
  { cases, styles }: SuiteResults,
  isCounted: (row: CaseRow) => boolean,
  field: string,
): AnswerArm[] {
  const names = [field, 'needleHit', 'goldNllNats']
  const pairOf = new Map(names.map((name) => [name, pairWithFull(cases, name)]))
  const arms = [...groupBy(cases, armKey).values()].map((rows): AnswerArm => {
    const { policy, budget, mode } = rows[0]
    const countedRows = rows.filter(isCounted)
    const pooled = names.map((name) => [name, estimateOf(valuesOf(countedRows, name))])
    const full = names.map((name) => [name, meanOf(countedRows.flatMap((row) => pairOf.get(name)!(row)?.full ?? []))])
    return {
      policy,
      budget,
      mode,
      rows,
      countedRows,
      pooled: Object.fromEntries(pooled),
      full: Object.fromEntries(full),
    }
  })
  return sortArms(arms, styles)
}

/** Right answers by length and pooled, then needle hit and the right answer's NLL. */
export function answersTable(arms: readonly AnswerArm[], answers: Field, styles: readonly PolicyStyle[]): Markup {
  const lengths = lengthsOf(arms.flatMap(({ rows }) => rows))
  const byLength = lengths.map((length): Column<AnswerArm> => {
    const uncounted: Cell = { text: 'not counted' }
    const atLength = (rows: readonly CaseRow[]) => rows.filter((row) => row.length === length)
    return {
      head: `at ${formatCount(length)}`,
      cell: ({ rows, countedRows }) =>
        estimateCell(estimateOf(valuesOf(atLength(countedRows), answers.name)), answers.format) ??
        (atLength(rows).length > 0 ? uncounted : null),
    }
  })
  const pooled = ({ name, format }: Field, head: string): Column<AnswerArm> => ({
    head,
    cell: (arm) => estimateCell(arm.pooled[name], format),
  })
  return renderTable({
    caption: `${answers.head} by policy, budget, mode and length, over counted cells, with 95 % bootstrap intervals over cases.`,
    head: 'policy',
    rowHead: (arm) => armCell(styles, arm),
    columns: [
      {
        head: 'cases counted',
        cell: ({ rows, countedRows }) => ({
          text: formatCount(countedRows.length),
          detail: `of ${formatCount(rows.length)}`,
        }),
      },
      ...(lengths.length > 1 ? byLength : []),
      pooled(answers, lengths.length > 1 ? 'all lengths' : answers.head),
      {
        head: 'full cache on them',
        cell: ({ full }) => (full[answers.name] === undefined ? null : { text: answers.format(full[answers.name]!) }),
      },
      ...['needleHit', 'goldNllNats'].map(fieldOf).map((field) => pooled(field, field.head)),
    ],
    rows: arms,
  })
}

/** Pooled right answers and the right answer's NLL against budget: two panels a mode. */
export function answersFigure(arms: readonly AnswerArm[], answers: Field, styles: readonly PolicyStyle[]): Markup {
  const plots = [
    { name: answers.name, title: 'Right answers', axis: '%', factor: 100 },
    { name: 'goldNllNats', title: 'NLL of the right answer', axis: 'nats a token', factor: 1 },
  ]
  const panels = modesOf(arms.filter(({ budget }) => budget !== null)).flatMap((mode) =>
    plots.flatMap(({ name, title, axis, factor }) => {
      const own = arms.filter((arm) => arm.mode === mode && arm.budget !== null)
      const points = own.flatMap(({ policy, budget, pooled }) => {
        const estimate = pooled[name]
        return estimate ? [{ style: styleOf(styles, policy), budget: budget!, ...scaleEstimate(estimate, factor) }] : []
      })
      const full = own.map((arm) => arm.full[name]).find((mean) => mean !== undefined)
      const panelTitle = mode === null ? title : `${title}, mode ${mode}`
      const svg = budgetLines({
        ...{ points, axis, type: 'linear', label: `${panelTitle} against budget, one line a policy` },
        ...(full === undefined ? {} : { reference: { value: factor * full, label: 'full cache' } }),
      })
      return svg.markup === '' ? [] : [{ title: panelTitle, svg }]
    }),
  )
  return renderFigure(
    'Quality against budget, pooled over the counted cells of all lengths. Whiskers are 95 % intervals over cases; points of one budget stand side by side.',
    panels,
  )
}
