import { dot, line, type Markish, scale as makeScale, ruleX, ruleY } from '@observablehq/plot'
import { formatCount, formatNumber, formatTick } from '../format.ts'
import type { Markup } from '../html.ts'
import type { PolicyStyle } from '../policies.ts'
import { logTicks, symlogTicks } from './axis.ts'
import { draw, panelWidthPixels } from './draw.ts'
import { endLabels, lineFrame, lineRanges } from './end-labels.ts'

interface BudgetPoint {
  readonly style: PolicyStyle
  readonly budget: number
  readonly mean: number
  /** Null where one case alone was measured. */
  readonly ci95: readonly [number, number] | null
}

export interface BudgetLines {
  readonly points: readonly BudgetPoint[]
  /** What it shows, for those who cannot see it. */
  readonly label: string
  readonly axis: string
  /** `symlog`: as `log` away from zero, and through zero. */
  readonly type: 'log' | 'symlog' | 'linear'
  /** A level line: the full cache. */
  readonly reference?: { readonly value: number; readonly label: string }
}

/** Quality against budget, one line a policy with interval whiskers and its name at the end. */
export function budgetLines({ points, label, axis, type, reference }: BudgetLines): Markup {
  const shown = type === 'log' ? points.filter(({ mean }) => mean > 0) : points
  if (shown.length === 0) return { markup: '' }
  const budgets = [...new Set(shown.map(({ budget }) => budget))].sort((a, b) => a - b)
  const y = { type, domain: valueDomain(shown, type, reference?.value), range: lineRanges.y, constant: 1 } as const
  const x = { type: 'log', domain: [budgets[0] / 1.2, budgets.at(-1)! * 1.2], range: lineRanges.x } as const
  const xScale = makeScale({ x })
  const yScale = makeScale({ y })
  const styles = [...new Set(shown.map(({ style }) => style))]
  const step = Math.min(6, (0.5 * smallestGap(budgets.map((budget) => xScale.apply(budget)))) / styles.length)
  const placed = shown.map((point) => {
    const aside = (styles.indexOf(point.style) - (styles.length - 1) / 2) * step
    const [low, high] = point.ci95 ?? [point.mean, point.mean]
    return {
      ...point,
      x: xScale.invert!(xScale.apply(point.budget) + aside),
      low: Math.max(low, y.domain[0]),
      high: Math.min(high, y.domain[1]),
    }
  })
  const lastOf = (style: PolicyStyle) =>
    placed.filter((point) => point.style === style).reduce((a, b) => (b.budget > a.budget ? b : a))
  const ends = [
    ...styles.map(lastOf).map(({ style, x, mean }) => ({ x, y: mean, text: style.label, color: style.color })),
    ...(reference ? [{ x: x.domain[1], y: reference.value, text: reference.label, color: 'var(--yardstick)' }] : []),
  ]
  const marks: Markish[] = [
    ...(reference ? [ruleY([reference.value], { stroke: 'var(--yardstick)', strokeDasharray: '4,3' })] : []),
    ...styles.map((style) =>
      line(
        placed.filter((point) => point.style === style).sort((a, b) => a.budget - b.budget),
        {
          ...{ x: 'x', y: 'mean', stroke: style.color, strokeWidth: 1.5 },
          ...(style.isYardstick ? { strokeDasharray: '4,3' } : {}),
        },
      ),
    ),
    ruleX(placed, {
      x: 'x',
      y1: 'low',
      y2: 'high',
      stroke: ({ style }) => style.color,
      strokeWidth: 1.5,
    }),
    ...styles.map((style) =>
      dot(
        placed.filter((point) => point.style === style),
        {
          ...{ x: 'x', y: 'mean', fill: style.color, symbol: style.symbol, r: 4 },
          title: ({ budget, mean }) => `${style.label}, budget ${budget}: ${formatNumber(mean)}`,
        },
      ),
    ),
    ...endLabels(ends, xScale, yScale),
  ]
  const ticks = type === 'log' ? logTicks(...y.domain) : type === 'symlog' ? symlogTicks(...y.domain) : 5
  return draw(label, {
    ...lineFrame,
    color: { type: 'identity' },
    x: {
      type: 'log',
      domain: x.domain,
      ticks: budgets,
      tickFormat: formatCount,
      label: 'budget, tokens a KV head',
      labelAnchor: 'left',
      labelArrow: 'none',
    },
    y: {
      type,
      domain: y.domain,
      constant: 1,
      ticks,
      tickFormat: formatTick,
      label: axis,
      grid: true,
      labelArrow: 'none',
    },
    marks,
  })
}

/** All means, and of the intervals as much as does not squeeze them. */
function valueDomain(points: readonly BudgetPoint[], type: BudgetLines['type'], reference?: number): [number, number] {
  const means = [...points.map(({ mean }) => mean), ...(reference === undefined ? [] : [reference])]
  const ends = points.flatMap(({ ci95 }) => ci95 ?? [])
  if (type === 'log') {
    const floor = Math.min(...means) / 2
    const low = Math.min(...means, ...ends.map((end) => Math.max(end, floor)))
    return [low / 1.1, Math.max(...means, ...ends) * 1.1]
  }
  const [low, high] = [Math.min(...means, ...ends), Math.max(...means, ...ends)]
  if (type === 'symlog' && high > low) {
    const beside = Math.min(0.3, 0.05 * (high - low))
    return [low < 0 ? low * 1.2 : -beside, high > 0 ? high * 1.2 : beside]
  }
  const pad = (high - low || Math.abs(high) || 1) * 0.05
  return [low - pad, high + pad]
}

/** Between neighbours in ascending order; as wide as a panel for one alone. */
function smallestGap(places: readonly number[]): number {
  return Math.min(panelWidthPixels / 2, ...places.slice(1).map((place, i) => place - places[i]))
}
