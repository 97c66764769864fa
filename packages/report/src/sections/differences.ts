import type { Estimate } from '@kvasir/eval'
import { estimateOf, groupBy, type Pair } from '../analysis.ts'
import { renderFigure } from '../figure.ts'
import { formatCount, formatSigned } from '../format.ts'
import type { Content } from '../html.ts'
import { differenceDomain, differenceDots } from '../plots/difference-dots.ts'
import { isFull, type PolicyStyle } from '../policies.ts'
import type { CaseRow } from '../results.ts'
import { estimateCell, renderTable } from '../table.ts'
import { armCell, armKey, budgetsOf, modeBudgetText, modesOf, sortArms, styleOf } from './section.ts'

/** One policy at one budget against the full cache, case by case. */
export interface ArmDifference {
  readonly policy: string
  readonly budget: number | null
  readonly mode: string | null
  /** Cases that both have. */
  readonly n: number
  readonly estimate: Estimate
  /** Cases in which the policy did worse, and better. */
  readonly worse: number
  readonly better: number
}

/** The rows of every policy but the full cache, by arm, each value beside the full cache's on the same case. */
export function armDifferences(
  cases: readonly CaseRow[],
  pairOf: (row: CaseRow) => Pair | undefined,
  betterIs: 'more' | 'less',
): ArmDifference[] {
  const arms = groupBy(
    cases.filter(({ policy }) => !isFull(policy)),
    armKey,
  )
  return [...arms.values()].flatMap((rows): ArmDifference[] => {
    const differences = rows
      .map(pairOf)
      .filter((pair) => pair !== undefined)
      .map(({ own, full }) => own - full)
    const estimate = estimateOf(differences)
    if (estimate === undefined) return []
    const { policy, budget, mode } = rows[0]
    const [more, less] = [1, -1].map((sign) => differences.filter((value) => Math.sign(value) === sign).length)
    const [better, worse] = betterIs === 'more' ? [more, less] : [less, more]
    return [{ policy, budget, mode, n: differences.length, estimate, worse, better }]
  })
}

export interface DifferenceText {
  /** `NLL`, `accuracy` */
  readonly what: string
  /** Of the axis and the column, with unit. */
  readonly axis: string
  readonly format: (value: number) => string
  readonly caption: string
}

/** Paired differences to the full cache: a panel a budget and mode, and the figures as a table. */
export function differenceSection(
  differences: readonly ArmDifference[],
  styles: readonly PolicyStyle[],
  text: DifferenceText,
): Content {
  if (differences.length === 0) return null
  const rows = sortArms(differences, styles)
  const domain = differenceDomain(rows.map(({ estimate }) => estimate))
  const panels = modesOf(rows).flatMap((mode) =>
    budgetsOf(rows).flatMap((budget) => {
      const shown = rows.filter((row) => row.mode === mode && row.budget === budget)
      const title = modeBudgetText(mode, budget)
      const dots = shown.map(({ policy, estimate }) => ({ style: styleOf(styles, policy), estimate }))
      const label = `Difference in ${text.what} to the full cache by policy, ${title}`
      return shown.length === 0 ? [] : [{ title, svg: differenceDots(label, text.axis, dots, domain) }]
    }),
  )
  const table = renderTable({
    caption: `${text.caption} An interval that holds zero shows no difference; intervals are not corrected for the number of policies.`,
    head: 'policy',
    rows,
    rowHead: (row) => armCell(styles, row),
    columns: [
      { head: 'cases', cell: ({ n }) => ({ text: formatCount(n) }) },
      { head: text.axis, cell: ({ estimate }) => estimateCell(estimate, (value) => formatSigned(value, text.format)) },
      { head: 'cases worse', cell: ({ worse }) => ({ text: formatCount(worse) }) },
      { head: 'cases better', cell: ({ better }) => ({ text: formatCount(better) }) },
    ],
  })
  return [renderFigure(`${text.caption} Right of zero is more than the full cache.`, panels), table]
}
