import { fieldOf } from '../fields.ts'
import { renderFigure } from '../figure.ts'
import { formatBytes } from '../format.ts'
import { type Content, html } from '../html.ts'
import { byteBars, hotAndWarm } from '../plots/byte-bars.ts'
import type { PolicyStyle } from '../policies.ts'
import type { GroupRow } from '../results.ts'
import { type Column, estimateCell, renderTable } from '../table.ts'
import { armCell, budgetsOf, modeBudgetText, modesOf, sortArms, styleOf } from './section.ts'

const memoryFields = [
  'attendedTokensMean',
  'poolTokensMean',
  'heldTokens',
  'hotBytes',
  'warmBytes',
  'movedBytesPerToken',
  'denseSteps',
]
/** Left out where all are zero: most policies have none. */
const rareFields = ['certifiedHeadsShare', 'reusedStepsShare']

/** What was read, held and moved by the rows of one length, drawn and as a table. */
export function memorySection(groups: readonly GroupRow[], styles: readonly PolicyStyle[]): Content {
  const table = renderTable({
    caption: 'Tokens read and bytes by policy and budget: means a step, layer and KV head.',
    head: 'policy',
    rows: sortArms(groups, styles),
    rowHead: (row) => armCell(styles, row),
    columns: memoryColumns(groups),
  })
  return [memoryFigures(groups, styles), table]
}

/** What was read, held and moved, as columns: means without intervals, which say nothing about a size. */
function memoryColumns(groups: readonly GroupRow[]): readonly Column<GroupRow>[] {
  const met = rareFields.filter((name) => groups.some(({ estimates }) => (estimates[name]?.mean ?? 0) > 0))
  return [...memoryFields, ...met].map(fieldOf).map(({ name, head, format }) => ({
    head,
    cell: ({ estimates }) => estimateCell(estimates[name] && { mean: estimates[name].mean, ci95: null }, format),
  }))
}

/** Bytes by policy: hot and warm, and moved where anything moved. One panel a budget and mode. */
function memoryFigures(groups: readonly GroupRow[], styles: readonly PolicyStyle[]): Content {
  const sized = sortArms(groups, styles).filter(({ estimates }) => estimates.hotBytes && estimates.warmBytes)
  const moving = sized.filter(({ estimates }) => (estimates.movedBytesPerToken?.mean ?? 0) > 0)
  const held = panelsOf(sized, (row) => ({
    style: styleOf(styles, row.policy),
    hot: row.estimates.hotBytes.mean,
    warm: row.estimates.warmBytes.mean,
  }))
  const moved = panelsOf(moving, (row) => ({
    style: styleOf(styles, row.policy),
    hot: row.estimates.movedBytesPerToken.mean,
    warm: 0,
  }))
  const nothingMoved = sized.length > 0 && moving.length === 0 ? ' Nothing was moved between tiers.' : ''
  return [
    renderFigure(
      html`Bytes of KV and indexes. Filled: hot, what a step reads on average. Hatched: warm, rows that could lie elsewhere.${nothingMoved}`,
      held.map(({ title, bars, most }) => ({
        title,
        svg: byteBars(`Hot and warm bytes by policy, ${title}`, bars, most, hotAndWarm),
      })),
    ),
    renderFigure(
      'Bytes moved between tiers for each new token.',
      moved.map(({ title, bars, most }) => ({
        title,
        svg: byteBars(
          `Moved bytes a token by policy, ${title}`,
          bars,
          most,
          ({ hot }) => `${formatBytes(hot)} a token`,
        ),
      })),
    ),
  ]
}

type Bar = Parameters<typeof byteBars>[1][number]

function panelsOf(rows: readonly GroupRow[], barOf: (row: GroupRow) => Bar) {
  const most = Math.max(0, ...rows.map(barOf).map(({ hot, warm }) => hot + warm))
  return modesOf(rows).flatMap((mode) =>
    budgetsOf(rows).flatMap((budget) => {
      const bars = rows.filter((row) => row.mode === mode && row.budget === budget).map(barOf)
      return bars.length === 0 ? [] : [{ title: modeBudgetText(mode, budget), bars, most }]
    }),
  )
}
