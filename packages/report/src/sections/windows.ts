import { pairWithFull, scaleEstimate } from '../analysis.ts'
import { fieldOf } from '../fields.ts'
import { renderFigure } from '../figure.ts'
import { formatCount, formatFixed } from '../format.ts'
import { type Content, html } from '../html.ts'
import { type BudgetLines, budgetLines } from '../plots/budget-lines.ts'
import type { CaseRow, GroupRow } from '../results.ts'
import { type Column, estimateCell, renderTable } from '../table.ts'
import { armDifferences, differenceSection } from './differences.ts'
import { memorySection } from './memory.ts'
import { recallFigures } from './recall.ts'
import { armCell, lengthsOf, lengthText, type SuiteResults, sortArms, styleOf } from './section.ts'

/** Perplexity and fidelity on passages: what the policy's next-token distribution loses beside the full cache's. */
export function windowsSection({ suite, cases, groups, styles }: SuiteResults): Content {
  return html`<section><h2>${suite}: the next token beside the full cache</h2>
<p>Full cache and policy are fed the same tokens; KL and losses are means over the scored tokens of a case, then over cases.</p>
${lengthsOf(groups).map((length) => {
  const here = { suite, styles, cases: atLength(cases, length), groups: atLength(groups, length) }
  return html`<h3>${lengthText(length)}</h3>${[
    qualityFigure(here),
    qualityTable(here),
    differences(here),
    recallFigures(here.cases, styles),
    memorySection(here.groups, styles),
  ]}`
})}</section>`
}

function qualityTable({ groups, styles }: SuiteResults): Content {
  const fields = ['klNats', 'dPplPercent', 'top1'].map(fieldOf)
  const columns: Column<GroupRow>[] = [
    { head: 'cases', cell: ({ n }) => ({ text: formatCount(n) }) },
    ...fields.map(
      ({ name, head, format }): Column<GroupRow> => ({
        head,
        cell: ({ estimates }) => estimateCell(estimates[name], format),
      }),
    ),
  ]
  return renderTable({
    caption: 'Quality by policy and budget, with 95 % bootstrap intervals over cases.',
    head: 'policy',
    rows: sortArms(groups, styles),
    rowHead: (row: GroupRow) => armCell(styles, row),
    columns,
  })
}

const qualityPlots: readonly (Pick<BudgetLines, 'axis' | 'type' | 'reference'> & {
  field: string
  title: string
  factor: number
})[] = [
  { field: 'klNats', title: 'KL of the full cache from the policy', axis: 'nats a token', type: 'log', factor: 1 },
  {
    field: 'dPplPercent',
    title: 'Perplexity loss',
    axis: '%',
    type: 'symlog',
    factor: 1,
    reference: { value: 0, label: 'full cache' },
  },
  { field: 'top1', title: 'Same most likely token', axis: '% of tokens', type: 'linear', factor: 100 },
]

function qualityFigure({ groups, styles }: SuiteResults): Content {
  const panels = qualityPlots.flatMap(({ field, title, factor, ...plot }) => {
    const points = sortArms(groups, styles).flatMap(({ policy, budget, estimates }) => {
      const estimate = estimates[field]
      if (!estimate || budget === null) return []
      return [{ style: styleOf(styles, policy), budget, ...scaleEstimate(estimate, factor) }]
    })
    const svg = budgetLines({ ...plot, points, label: `${title} against budget, one line a policy` })
    return svg.markup === '' ? [] : [{ title, svg }]
  })
  const zero = groups.filter(({ estimates, budget }) => budget !== null && estimates.klNats?.mean === 0)
  return renderFigure(
    [
      'Quality against budget. Whiskers are 95 % intervals over cases; points of one budget stand side by side. KL and budget are on logarithmic axes.',
      zero.length === 0
        ? null
        : ` Not shown on the first: ${[...new Set(zero.map(({ policy }) => styleOf(styles, policy).label))].join(', ')}, whose KL is 0.`,
    ],
    panels,
  )
}

function differences({ cases, styles }: SuiteResults): Content {
  return differenceSection(armDifferences(cases, pairWithFull(cases, 'nllNats'), 'less'), styles, {
    what: 'NLL',
    axis: 'NLL more, nats a token',
    format: (value) => formatFixed(value, 4),
    caption: 'Paired difference in NLL to the full cache, on the same tokens of the same cases.',
  })
}

function atLength<Row extends CaseRow | GroupRow>(rows: readonly Row[], length: number): Row[] {
  return rows.filter((row) => row.length === length)
}
