import { type PlotOptions, plot } from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { escapeText, type Markup } from '../html.ts'

/** Panels are this wide so that text in them is as large on a phone as on a desk. */
export const panelWidthPixels = 360

/** Names of policies are cut at this width, as Plot guesses it; the widest fonts of browsers take 130 pixels for it. */
export const labelEms = 10

/** One plot as inline SVG; `label` is what it says to those who cannot see it. */
export function draw(label: string, options: PlotOptions): Markup {
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const svg = plot({
    width: panelWidthPixels,
    className: 'plot',
    ...options,
    document,
  })
  // The DOM leaves angle brackets in attributes as they are: the one attribute with foreign text is put in here.
  return { markup: svg.outerHTML.replace('<svg ', () => `<svg role="img" aria-label="${escapeText(label)}" `) }
}
