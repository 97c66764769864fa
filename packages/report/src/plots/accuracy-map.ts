import { cell, text } from '@observablehq/plot'
import { formatCount, formatShare } from '../format.ts'
import type { Markup } from '../html.ts'
import { draw } from './draw.ts'

export interface MapCell {
  readonly column: number
  readonly row: string
  /** Share of right answers. */
  readonly mean: number
  readonly n: number
  /** False where the full cache itself is at a loss. */
  readonly isCounted: boolean
}

const widthPixels = 260
const rowPixels = 30

/** Accuracy by length and row, the figure in each cell; cells that do not count are hatched and crossed out. */
export function accuracyMap(
  label: string,
  axes: { column: string; row: string },
  cells: readonly MapCell[],
  rows: readonly string[],
): Markup {
  const columns = [...new Set(cells.map(({ column }) => column))].sort((a, b) => a - b)
  const place = { x: 'column', y: 'row' } as const
  const title = ({ row, column, mean, n, isCounted }: MapCell) =>
    `${row} at ${formatCount(column)}: ${formatShare(mean)} % of ${n}${isCounted ? '' : ', not counted'}`
  const marginLeft = 24 + 6 * Math.min(16, Math.max(...rows.map((row) => row.length)))
  return draw(label, {
    ...{
      width: widthPixels,
      height: 56 + rowPixels * rows.length,
      marginLeft,
      marginTop: 22,
      marginBottom: 34,
      marginRight: 4,
    },
    color: { type: 'identity' },
    x: {
      type: 'band',
      domain: columns,
      tickFormat: formatCount,
      label: axes.column,
      labelAnchor: 'left',
      labelArrow: 'none',
      tickSize: 0,
    },
    y: { type: 'band', domain: rows, label: axes.row, tickSize: 0 },
    marks: [
      cell(
        cells.filter(({ isCounted }) => isCounted),
        { ...place, fill: 'var(--map)', fillOpacity: ({ mean }: MapCell) => 0.06 + 0.6 * mean, inset: 1, title },
      ),
      cell(
        cells.filter(({ isCounted }) => !isCounted),
        { ...place, fill: 'url(#hatch)', stroke: 'var(--line)', inset: 1, title },
      ),
      text(
        cells.filter(({ isCounted }) => isCounted),
        { ...place, text: ({ mean }: MapCell) => String(Math.round(100 * mean)) },
      ),
      text(
        cells.filter(({ isCounted }) => !isCounted),
        { ...place, text: () => 'n/c', fill: 'var(--muted)', fontStyle: 'italic' },
      ),
    ],
  })
}
