import { fieldOf } from '../fields.ts'
import { formatCount } from '../format.ts'
import { type Content, html } from '../html.ts'
import { estimateCell, renderTable } from '../table.ts'
import { armCell, lengthsOf, lengthText, type SuiteResults, sortArms } from './section.ts'

/** A suite that has no page of its own: every measured field as a column. */
export function plainSection({ suite, groups, styles }: SuiteResults): Content {
  const fields = [...new Set(groups.flatMap(({ estimates }) => Object.keys(estimates)))].map(fieldOf)
  return html`<section><h2>${suite}</h2>${lengthsOf(groups).map((length) =>
    renderTable({
      caption: `${suite} at ${lengthText(length)}: means with 95 % bootstrap intervals over cases.`,
      head: 'policy',
      rowHead: (row) => armCell(styles, row),
      columns: [
        { head: 'cases', cell: ({ n }) => ({ text: formatCount(n) }) },
        ...fields.map(({ name, head, format }) => ({
          head,
          cell: (row: (typeof groups)[number]) => estimateCell(row.estimates[name], format),
        })),
      ],
      rows: sortArms(
        groups.filter((row) => row.length === length),
        styles,
      ),
    }),
  )}</section>`
}
