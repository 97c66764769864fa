import { formatCount, plural } from './format.ts'
import { type Content, html } from './html.ts'
import { pageStyle } from './page-style.ts'
import { stylePolicies } from './policies.ts'
import { policyKey } from './policy-key.ts'
import type { Results } from './results.ts'
import { pairsSection } from './sections/pairs.ts'
import { plainSection } from './sections/plain.ts'
import { type RetrievalSuite, retrievalSection } from './sections/retrieval.ts'
import type { SuiteResults } from './sections/section.ts'
import { windowsSection } from './sections/windows.ts'

/** What the files of a results folder do not say. */
export interface ReportNotes {
  /** The command line that made the results. @default left out */
  readonly command?: string
  /** Where the cases came from. @default left out */
  readonly data?: string
}

const retrievalSuites: Readonly<Record<string, RetrievalSuite>> = {
  niah: { title: 'needles in a haystack', field: 'correct', axis: 'depth' },
  turns: { title: 'several questions over one cache', field: 'correct', axis: 'kind' },
  ruler: { title: 'synthetic long-context tasks', field: 'score', axis: 'task' },
}

/** One HTML page, complete in itself: no scripts, nothing to fetch. A section a suite. */
export function renderReport({ cases, groups, run }: Results, notes: ReportNotes = {}): string {
  const styles = stylePolicies([...groups, ...cases].map(({ policy }) => policy))
  const suites = [...new Set([...cases, ...groups].map(({ suite }) => suite))]
  const sections = suites.map((suite) =>
    renderSuite({
      ...{ suite, styles },
      cases: cases.filter((row) => row.suite === suite),
      groups: groups.filter((row) => row.suite === suite),
    }),
  )
  const title = `Kvasir evaluation: ${suites.join(', ') || 'no results'}`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${{ markup: pageStyle }}</style>
</head>
<body>
<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V5" stroke="var(--line)" stroke-width="2"></path></pattern></defs></svg>
<main>
<h1>${title}</h1>
${factsList(run, notes, { cases, groups })}
<h2>Policies</h2>
${policyKey(styles)}
${sections}
</main>
</body>
</html>
`.markup
}

function renderSuite(results: SuiteResults): Content {
  const { suite, cases } = results
  if (suite === 'windows') return windowsSection(results)
  if (suite === 'pairs') return pairsSection(results)
  // Cells and pairs need the cases themselves.
  const isRetrieval = Object.hasOwn(retrievalSuites, suite) && cases.length > 0
  return isRetrieval ? retrievalSection(results, retrievalSuites[suite]) : plainSection(results)
}

function factsList(
  run: Results['run'],
  { command, data }: ReportNotes,
  { cases, groups }: Omit<Results, 'run'>,
): Content {
  const numCases = new Set(cases.map(({ suite, length, id }) => JSON.stringify([suite, length, id]))).size
  const facts: [string, Content][] = [
    ...Object.entries(run).map(([name, value]): [string, Content] => [factName(name), factText(value)]),
    ...(data === undefined ? [] : [['data', html`<code>${data}</code>`] as [string, Content]]),
    [
      'results',
      cases.length === 0
        ? plural(groups.length, 'row')
        : `${plural(cases.length, 'result')} of ${plural(numCases, 'case')}`,
    ],
    ...(command === undefined ? [] : [['command', html`<code>${command}</code>`] as [string, Content]]),
  ]
  return html`<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)}</dl>`
}

function factName(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase()
}

function factText(value: unknown): string {
  if (typeof value === 'number') return formatCount(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
