import { fieldOf } from '../fields.ts'
import { renderFigure } from '../figure.ts'
import { formatCount } from '../format.ts'
import { type Content, html } from '../html.ts'
import { shareDots } from '../plots/share-dots.ts'
import type { GroupRow } from '../results.ts'
import { type Column, estimateCell, renderTable } from '../table.ts'
import { lengthsOf, type SuiteResults, sortArms, styleOf } from './section.ts'

const fields = ['exactShare', 'accepted', 'recomputedShare', 'klNats', 'selfPplRatio', 'top1', 'ttftRatio']
const factFields = ['countedCases', 'targetFact', 'donorFact', 'donorPreferred']

/** Prompts that borrow from one that resembles them: what was computed, how long it took, how far the replies differ. */
export function pairsSection({ suite, groups, styles }: SuiteResults): Content {
  return html`<section><h2>${suite}: prompts that resemble an earlier one</h2>
<p>Fidelity is measured along the reply of the full recompute. Times are from the prompt’s text to its first token.</p>
${lengthsOf(groups).map((length) => {
  const here = { suite, styles, cases: [], groups: groups.filter((row) => row.length === length) }
  return html`<h3>${formatCount(length)} tokens of prompt</h3>${[fidelityFigure(here), pairsTable(here), factsTable(here)]}`
})}</section>`
}

function fidelityFigure({ groups, styles }: SuiteResults): Content {
  const points = groups.flatMap((row) => {
    const { klNats, recomputedShare } = row.estimates
    if (!klNats || !recomputedShare) return []
    return [{ style: styleOf(styles, row.policy), name: nameOf(row), share: recomputedShare.mean, ...klNats }]
  })
  const svg = shareDots('KL of the full recompute from the policy against the share computed', 'nats a token', points)
  const title = 'KL of the full recompute from the policy'
  return renderFigure(
    'Fidelity against work, a point a policy and sort of pair; whiskers are 95 % intervals over cases. Where everything is computed KL is 0, which a logarithmic axis does not show.',
    svg.markup === '' ? [] : [{ title, svg }],
  )
}

function pairsTable({ groups, styles }: SuiteResults): Content {
  const caption =
    'Work, fidelity and speed-up, with 95 % bootstrap intervals over cases. Means are arithmetic, that of speed-ups is geometric.'
  return tableOf(caption, fields, groups, styles)
}

function factsTable({ groups, styles }: SuiteResults): Content {
  const swapped = groups.filter(({ estimates }) => estimates.countedCases !== undefined)
  if (swapped.length === 0) return html``
  const caption =
    'Whose fact the reply gives where one fact differs, among cases in which the full recompute gives the prompt’s own.'
  return tableOf(caption, factFields, swapped, styles)
}

function tableOf(
  caption: string,
  names: readonly string[],
  groups: readonly GroupRow[],
  styles: SuiteResults['styles'],
): Content {
  const columns: Column<GroupRow>[] = [
    { head: 'cases', cell: ({ n }) => ({ text: formatCount(n) }) },
    ...names.map(fieldOf).map(
      ({ name, head, format }): Column<GroupRow> => ({
        head,
        cell: ({ estimates }) => estimateCell(estimates[name], format),
      }),
    ),
  ]
  const kinds = [...new Set(groups.map(nameOf))]
  const rows = kinds.flatMap((kind) => sortArms(groups, styles).filter((row) => nameOf(row) === kind))
  return renderTable({
    caption,
    head: 'pair and policy',
    rows,
    rowHead: (row) => ({ text: nameOf(row), detail: styleOf(styles, row.policy).label }),
    columns,
  })
}

function nameOf({ kind, variant }: GroupRow): string {
  return [kind, variant].filter((part) => part !== undefined).join(', ')
}
