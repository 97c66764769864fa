import { rect, text } from '@observablehq/plot'
import { formatBytes } from '../format.ts'
import type { Markup } from '../html.ts'
import type { PolicyStyle } from '../policies.ts'
import { draw, labelEms } from './draw.ts'

export interface ByteBar {
  readonly style: PolicyStyle
  /** Filled. */
  readonly hot: number
  /** Hatched, after it. */
  readonly warm: number
}

const rowPixels = 32

/** Bytes a policy, its name and figures above each bar. `most` is the longest bar of all panels: lengths compare. */
export function byteBars(
  label: string,
  bars: readonly ByteBar[],
  most: number,
  figures: (bar: ByteBar) => string,
): Markup {
  const placed = bars.map((bar, i) => ({ ...bar, y1: i + 0.55, y2: i + 0.88, end: bar.hot + bar.warm }))
  return draw(label, {
    ...{ height: 4 + rowPixels * bars.length, marginLeft: 2, marginRight: 2, marginTop: 2, marginBottom: 2 },
    color: { type: 'identity' },
    x: { type: 'linear', domain: [0, most || 1], axis: null },
    y: { type: 'linear', domain: [bars.length, 0], axis: null },
    marks: [
      rect(placed, { x1: 0, x2: 'hot', y1: 'y1', y2: 'y2', fill: ({ style }) => style.color }),
      rect(placed, { x1: 'hot', x2: 'end', y1: 'y1', y2: 'y2', fill: 'url(#hatch)', stroke: 'var(--line)' }),
      text(placed, {
        ...{ x: 0, y: 'y1', dy: -4, text: ({ style }) => style.label, textAnchor: 'start', lineAnchor: 'bottom' },
        ...{ lineWidth: labelEms, textOverflow: 'ellipsis-end' },
      }),
      text(placed, { x: most || 1, y: 'y1', dy: -4, text: figures, textAnchor: 'end', lineAnchor: 'bottom' }),
    ],
  })
}

export function hotAndWarm({ hot, warm }: ByteBar): string {
  return `${formatBytes(hot)} hot, ${formatBytes(warm)} warm`
}
