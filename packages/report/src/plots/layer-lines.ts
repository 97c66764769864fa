import { dot, line, scale as makeScale, ruleY } from '@observablehq/plot'
import type { Markup } from '../html.ts'
import type { PolicyStyle } from '../policies.ts'
import { draw } from './draw.ts'
import { endLabels, lineFrame, lineRanges } from './end-labels.ts'

interface LayerLine {
  readonly style: PolicyStyle
  /** [numLayers], shares */
  readonly values: readonly number[]
}

/** Every line has its symbol at so many layers from the last one. */
const symbolStride = 6

export interface LayerPlot {
  /** What it shows, for those who cannot see it. */
  readonly label: string
  readonly axis: string
  readonly lines: readonly LayerLine[]
  /** Level lines: the ends of the scale. @default none */
  readonly levels?: readonly { readonly value: number; readonly label: string }[]
}

/** A share by layer, one line a policy with its name at the end; the yardsticks are dashed. */
export function layerLines({ label, axis, lines, levels = [] }: LayerPlot): Markup {
  const values = [...lines.flatMap((layers) => layers.values), ...levels.map(({ value }) => value)]
  const low = Math.floor(10 * Math.min(...values)) / 10
  const high = Math.max(low + 0.1, Math.ceil(10 * Math.max(...values)) / 10)
  const lastLayer = Math.max(1, ...lines.map((layers) => layers.values.length - 1))
  const x = { type: 'linear', domain: [0, lastLayer], range: lineRanges.x } as const
  const y = { type: 'linear', domain: [low, high], range: lineRanges.y } as const
  const ends = [
    ...lines.map(({ style, values }) => ({
      ...{ x: values.length - 1, y: values.at(-1)!, text: style.label, color: style.color },
    })),
    ...levels.map(({ value, label }) => ({ x: lastLayer, y: value, text: label, color: 'var(--yardstick)' })),
  ]
  const percent = (value: number) => String(Math.round(100 * value))
  return draw(label, {
    ...lineFrame,
    color: { type: 'identity' },
    x: { domain: x.domain, ticks: 6, tickFormat: 'd', label: 'layer', labelAnchor: 'left', labelArrow: 'none' },
    y: { domain: y.domain, ticks: 5, tickFormat: percent, label: axis, grid: true, labelArrow: 'none' },
    marks: [
      ruleY(levels, { y: 'value', stroke: 'var(--yardstick)', strokeDasharray: '4,3' }),
      ...lines.map(({ style, values }) =>
        line(values, {
          ...{ x: (_: number, layer: number) => layer, y: (value: number) => value },
          ...{ stroke: style.color, strokeWidth: 1.5 },
          ...(style.isYardstick ? { strokeDasharray: '4,3' } : {}),
        }),
      ),
      ...lines.map(({ style, values }, i) =>
        dot(
          values.map((value, layer) => ({ value, layer })).filter(({ layer }) => (layer + i) % symbolStride === 0),
          { x: 'layer', y: 'value', fill: style.color, symbol: style.symbol, r: 3 },
        ),
      ),
      ...endLabels(ends, makeScale({ x }), makeScale({ y })),
    ],
  })
}
