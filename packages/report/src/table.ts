import type { Estimate } from '@kvasir/eval'
import { type Content, html, type Markup } from './html.ts'

export interface Cell {
  readonly text: string
  /** Second, smaller line: an interval, a number of cases. */
  readonly detail?: string
}

export interface Column<Row> {
  readonly head: string
  /** Null where there is no value. */
  readonly cell: (row: Row) => Cell | null
}

export interface Table<Row> {
  readonly caption: Content
  /** Names what the rows are. */
  readonly head: string
  readonly rowHead: (row: Row) => Cell
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  /** Cells are prose: left-aligned. */
  readonly isText?: boolean
}

/** More columns than this do not fit a page: the table is cut into several. */
const maxColumns = 9

/** A table whose rows become cards on a narrow screen: the roles say what the changed layout would hide. */
export function renderTable<Row>({ columns, rows, ...rest }: Table<Row>): Markup {
  const filled = columns
    .map(({ head, cell }) => ({ head, cells: rows.map(cell) }))
    .filter(({ cells }) => cells.some((cell) => cell !== null))
  const parts = Math.max(1, Math.ceil(filled.length / maxColumns))
  const size = Math.ceil(filled.length / parts)
  const numbers = Array.from({ length: parts }, (_, i) => i)
  return html`${numbers.map((i) => {
    const caption = parts === 1 ? rest.caption : [rest.caption, ` (part ${i + 1} of ${parts})`]
    return renderPart({ ...rest, caption, rows }, filled.slice(i * size, (i + 1) * size))
  })}`
}

interface FilledColumn {
  readonly head: string
  /** [numRows] */
  readonly cells: readonly (Cell | null)[]
}

function renderPart<Row>(
  { caption, head, rowHead, rows, isText }: Omit<Table<Row>, 'columns'>,
  columns: readonly FilledColumn[],
): Markup {
  return html`<table role="table"${isText ? html` class="text"` : null}>
<caption>${caption}</caption>
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">${head}</th>${columns.map(
    (column) => html`<th role="columnheader" scope="col">${column.head}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">
${rows.map(
  (row, i) => html`<tr role="row"><th role="rowheader" scope="row">${cellContent(rowHead(row))}</th>${columns.map(
    (column) => html`<td role="cell" data-head="${column.head}">${cellContent(column.cells[i])}</td>`,
  )}</tr>
`,
)}</tbody>
</table>
`
}

/** Mean over its interval. */
export function estimateCell(estimate: Estimate | undefined, format: (value: number) => string): Cell | null {
  if (estimate === undefined) return null
  const { mean, ci95 } = estimate
  if (ci95 === null || ci95[0] === ci95[1]) return { text: format(mean) }
  return { text: format(mean), detail: `${format(ci95[0])} to ${format(ci95[1])}` }
}

function cellContent(cell: Cell | null): Content {
  if (cell === null) return html`<span>\u2013</span>`
  return html`<span>${cell.text}${cell.detail === undefined ? null : html` <small>${cell.detail}</small>`}</span>`
}
