import type { Estimate } from '@kvasir/eval'
import { dot, ruleX, ruleY, text } from '@observablehq/plot'
import { formatNumber, formatSigned, formatTick } from '../format.ts'
import type { Markup } from '../html.ts'
import type { PolicyStyle } from '../policies.ts'
import { draw, labelEms, panelWidthPixels } from './draw.ts'

export interface Difference {
  readonly style: PolicyStyle
  readonly estimate: Estimate
}

const rowPixels = 22

/** Differences to the full cache with their intervals, one row a policy; `domain` is shared by all panels. */
export function differenceDots(
  label: string,
  axis: string,
  differences: readonly Difference[],
  domain: readonly [number, number],
): Markup {
  const rows = differences.map(({ style, estimate: { mean, ci95 } }) => {
    const [low, high] = ci95 ?? [mean, mean]
    return { style, row: style.label, mean, low, high }
  })
  return draw(label, {
    ...{
      width: panelWidthPixels,
      height: 46 + rowPixels * rows.length,
      marginLeft: 144,
      marginRight: 12,
      marginTop: 8,
      marginBottom: 36,
    },
    color: { type: 'identity' },
    x: {
      domain,
      ticks: 4,
      label: axis,
      labelAnchor: 'center',
      labelArrow: 'none',
      grid: true,
      tickFormat: (value: number) => formatSigned(value, formatTick),
    },
    y: { type: 'point', domain: rows.map(({ row }) => row), axis: null },
    marks: [
      text(rows, {
        ...{ y: 'row', text: 'row', frameAnchor: 'left', textAnchor: 'end', dx: -8 },
        ...{ lineWidth: labelEms, textOverflow: 'ellipsis-end' },
      }),
      ruleX([0], { stroke: 'currentColor' }),
      ruleY(rows, {
        y: 'row',
        x1: 'low',
        x2: 'high',
        stroke: ({ style }) => style.color,
        strokeWidth: 1.5,
      }),
      ...rows.map((row) =>
        dot([row], {
          x: 'mean',
          y: 'row',
          fill: row.style.color,
          symbol: row.style.symbol,
          r: 4,
          title: () => `${row.row}: ${formatSigned(row.mean, formatNumber)}`,
        }),
      ),
    ],
  })
}

/** Holds zero and every interval, with a margin. */
export function differenceDomain(estimates: readonly Estimate[]): readonly [number, number] {
  const ends = [0, ...estimates.flatMap(({ mean, ci95 }) => [mean, ...(ci95 ?? [])])]
  const [low, high] = [Math.min(...ends), Math.max(...ends)]
  const pad = 0.06 * (high - low || 1)
  return [low - pad, high + pad]
}
