import { groupBy, meanCurve } from '../analysis.ts'
import { renderFigure } from '../figure.ts'
import type { Content } from '../html.ts'
import { type LayerPlot, layerLines } from '../plots/layer-lines.ts'
import type { PolicyStyle } from '../policies.ts'
import type { CaseRow } from '../results.ts'
import { armKey, budgetsOf, modeBudgetText, modesOf, sortArms, styleOf } from './section.ts'

interface RecallKind extends Pick<LayerPlot, 'axis' | 'levels'> {
  readonly name: string
  readonly title: string
  readonly caption: string
}

const recallKinds: readonly RecallKind[] = [
  {
    name: 'massRecallByLayer',
    title: 'Attention-mass recall by layer',
    axis: '% of attention mass',
    caption:
      'Attention-mass recall by layer: the share of the full cache\u2019s attention that lies on the rows read. Random segments and the oracle are the ends of the scale.',
  },
  {
    name: 'recallByLayer',
    title: 'Normalised recall by layer',
    axis: '% of the way from chance to oracle',
    levels: [
      { value: 0, label: 'chance' },
      { value: 1, label: 'best tokens' },
    ],
    caption:
      'Normalised attention-mass recall by layer: of what a choice can win over chance, the share that the rows read have. 0 is chance, 100 are the tokens of the largest weights.',
  },
]

/** What the rows read have of the full cache's attention, by layer: a figure a measure, a panel a mode and budget. */
export function recallFigures(cases: readonly CaseRow[], styles: readonly PolicyStyle[]): Content {
  return recallKinds.map(({ name, title, axis, levels, caption }) => {
    const measured = cases.filter(({ curves }) => curves[name])
    const panels = modesOf(measured).flatMap((mode) =>
      budgetsOf(measured).flatMap((budget) => {
        const rows = measured.filter((row) => row.budget === budget && row.mode === mode)
        const lines = [...groupBy(sortArms(rows, styles), armKey).values()].map((own) => ({
          style: styleOf(styles, own[0].policy),
          values: meanCurve(own, name)!,
        }))
        if (lines.length === 0) return []
        const panel = modeBudgetText(mode, budget)
        return [
          { title: panel, svg: layerLines({ label: `${title}, ${panel}`, axis, lines, ...(levels && { levels }) }) },
        ]
      }),
    )
    return renderFigure(caption, panels)
  })
}
