import { byDepthThenName, groupBy, meanOf, rowName, valuesOf } from '../analysis.ts'
import { renderFigure } from '../figure.ts'
import type { Markup } from '../html.ts'
import { accuracyMap, type MapCell } from '../plots/accuracy-map.ts'
import type { CaseRow } from '../results.ts'
import { armKey, modeBudgetText, type SuiteResults, sortArms, styleOf } from './section.ts'

export interface MapOptions {
  readonly field: string
  readonly axis: string
  readonly isCounted: (row: CaseRow) => boolean
}

/** Share of right answers by length and depth or task: one map a policy, budget and mode. */
export function mapFigure({ cases, styles }: SuiteResults, { field, axis, isCounted }: MapOptions): Markup {
  const arms = [...groupBy(sortArms(cases, styles), armKey).values()]
  const rows = [...new Set(cases.map(rowName))].sort(byDepthThenName)
  const panels = arms.flatMap((own) => {
    const place = (row: CaseRow) => JSON.stringify([row.length, rowName(row)])
    const cells = [...groupBy(own, place).values()].flatMap((group): MapCell[] => {
      const counted = group.filter(isCounted)
      const values = valuesOf(counted.length > 0 ? counted : group, field)
      const mean = meanOf(values)
      if (mean === undefined) return []
      return [
        { column: group[0].length, row: rowName(group[0]), mean, n: values.length, isCounted: counted.length > 0 },
      ]
    })
    if (cells.length === 0) return []
    const { policy, budget, mode } = own[0]
    const title = `${styleOf(styles, policy).label}, ${modeBudgetText(mode, budget)}`
    return [
      {
        title,
        svg: accuracyMap(
          `Right answers by length and ${axis}, ${title}`,
          { column: 'context tokens', row: axis },
          cells,
          rows,
        ),
      },
    ]
  })
  return renderFigure(
    `Right answers in percent by length and ${axis}; the darker, the more. One cell holds few cases: for looking, not for claims.`,
    panels,
    { isSmall: true },
  )
}
