import { link, type Markish, type Scale, text } from '@observablehq/plot'
import { spread } from './axis.ts'
import { labelEms, panelWidthPixels } from './draw.ts'

/** The frame of a line plot with names at the right: pixels around it, and in all. */
export const lineFrame = { marginLeft: 46, marginRight: 144, marginTop: 24, marginBottom: 36, height: 264 } as const

/** [at the first value, at the last value] */
export const lineRanges = {
  x: [lineFrame.marginLeft, panelWidthPixels - lineFrame.marginRight],
  y: [lineFrame.height - lineFrame.marginBottom, lineFrame.marginTop],
} as const

export interface LineEnd {
  readonly x: number
  readonly y: number
  readonly text: string
  readonly color: string
}

const gapPixels = 13
const asidePixels = 16

/** Names beside the ends of lines, moved apart, each tied to its line. */
export function endLabels(ends: readonly LineEnd[], x: Scale, y: Scale): Markish[] {
  const [bottom, top] = lineRanges.y
  const places = spread(
    ends.map((end) => y.apply(end.y)),
    gapPixels,
    [top, bottom],
  )
  const labels = ends.map((end, i) => ({
    ...end,
    labelX: x.invert!(lineRanges.x[1] + asidePixels),
    labelY: y.invert!(places[i]),
  }))
  const ties = { x1: 'x', y1: 'y', x2: 'labelX', y2: 'labelY', stroke: 'color', strokeOpacity: 0.6 } as const
  return [
    link(labels, { ...ties, strokeDasharray: '1,2' }),
    text(labels, {
      ...{ x: 'labelX', y: 'labelY', text: 'text', fill: 'currentColor', textAnchor: 'start', dx: 2 },
      ...{ lineWidth: labelEms, textOverflow: 'ellipsis-end' },
    }),
  ]
}
