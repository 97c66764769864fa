import { type Content, html, type Markup } from './html.ts'

export interface FigureOptions {
  /** Panels of 260 pixels in place of 360. @default false */
  readonly isSmall?: boolean
}

export interface Panel {
  readonly title: string
  readonly svg: Markup
}

/** Panels side by side where there is room, below each other where there is none. Nothing without panels. */
export function renderFigure(
  caption: Content,
  panels: readonly Panel[],
  { isSmall = false }: FigureOptions = {},
): Markup {
  if (panels.length === 0) return html``
  return html`<figure${isSmall ? html` class="small"` : null}>
<div class="panels">
${panels.map(({ title, svg }) => html`<div class="panel"><p class="panel-title">${title}</p>${svg}</div>\n`)}</div>
<figcaption>${caption}</figcaption>
</figure>
`
}
