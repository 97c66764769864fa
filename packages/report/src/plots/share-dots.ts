import { dot, ruleX } from '@observablehq/plot'
import { formatNumber, formatTick } from '../format.ts'
import type { Markup } from '../html.ts'
import type { PolicyStyle } from '../policies.ts'
import { logTicks } from './axis.ts'
import { draw } from './draw.ts'

export interface SharePoint {
  readonly style: PolicyStyle
  /** Of what it is, in words. */
  readonly name: string
  /** In [0, 1]. */
  readonly share: number
  readonly mean: number
  readonly ci95: readonly [number, number] | null
}

/** A figure on a logarithmic axis against the share that was computed; points at 0 are left out. */
export function shareDots(label: string, axis: string, points: readonly SharePoint[]): Markup {
  const shown = points
    .filter(({ mean }) => mean > 0)
    .map((point) => {
      const [low, high] = point.ci95 ?? [point.mean, point.mean]
      return { ...point, percent: 100 * point.share, low: Math.max(low, point.mean / 2), high }
    })
  if (shown.length === 0) return { markup: '' }
  const domain = [Math.min(...shown.map(({ low }) => low)) / 1.2, Math.max(...shown.map(({ high }) => high)) * 1.2]
  const styles = [...new Set(shown.map(({ style }) => style))]
  return draw(label, {
    ...{ height: 280, marginLeft: 46, marginRight: 16, marginTop: 24, marginBottom: 36 },
    color: { type: 'identity' },
    x: {
      domain: [0, 100],
      ticks: 5,
      label: 'computed, % of all rows and layers',
      labelAnchor: 'center',
      labelArrow: 'none',
    },
    y: {
      ...{ type: 'log', domain, ticks: logTicks(domain[0], domain[1]), tickFormat: formatTick },
      ...{ label: axis, grid: true, labelArrow: 'none' },
    },
    marks: [
      ruleX(shown, { x: 'percent', y1: 'low', y2: 'high', stroke: ({ style }) => style.color, strokeOpacity: 0.5 }),
      ...styles.map((style) =>
        dot(
          shown.filter((point) => point.style === style),
          {
            ...{ x: 'percent', y: 'mean', fill: style.color, symbol: style.symbol, r: 4 },
            title: ({ name, mean, percent }) =>
              `${style.label}, ${name}: ${formatNumber(mean)} at ${formatNumber(percent)} %`,
          },
        ),
      ),
    ],
  })
}
