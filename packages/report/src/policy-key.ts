import { dot, line } from '@observablehq/plot'
import { html, type Markup } from './html.ts'
import { draw } from './plots/draw.ts'
import type { PolicyStyle } from './policies.ts'

/** Sign, label and full name of every policy: what the plots and tables call it. */
export function policyKey(styles: readonly PolicyStyle[]): Markup {
  return html`<ul class="key">
${styles.map(
  (
    style,
  ) => html`<li>${sign(style)}<span>${style.label}${style.label === style.policy ? null : html` <code>${style.policy}</code>`}</span></li>
`,
)}</ul>`
}

function sign({ label, color, symbol, isYardstick }: PolicyStyle): Markup {
  return draw(`sign of ${label}`, {
    ...{ width: 34, height: 16, margin: 0, axis: null, x: { domain: [0, 2] }, y: { domain: [0, 2] } },
    marks: [
      line(
        [
          [0, 1],
          [2, 1],
        ],
        { stroke: color, strokeWidth: 1.5, ...(isYardstick ? { strokeDasharray: '4,3' } : {}) },
      ),
      dot([[1, 1]], { fill: color, symbol, r: 4 }),
    ],
  })
}
