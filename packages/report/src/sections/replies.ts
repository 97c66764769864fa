import { fullCacheRows, pairWithFull } from '../analysis.ts'
import { formatCount } from '../format.ts'
import type { Content } from '../html.ts'
import { clip, isFull } from '../policies.ts'
import { renderTable } from '../table.ts'
import { modeBudgetText, type SuiteResults, sortArms, styleOf } from './section.ts'

const maxReplies = 12
const maxReplyChars = 120

/** The first answers that the full cache finds and a policy does not, a case once. */
export function repliesTable({ cases, styles }: SuiteResults, field: string): Content {
  const fullOf = fullCacheRows(cases)
  const pairOf = pairWithFull(cases, field)
  const seen = new Set<string>()
  const lost = sortArms(cases, styles).filter((row) => {
    const pair = pairOf(row)
    const key = `${row.length} ${row.id}`
    if (isFull(row.policy) || row.texts.reply === undefined || !pair || pair.own >= pair.full || seen.has(key))
      return false
    seen.add(key)
    return true
  })
  if (lost.length === 0) return null
  const quote = (text: string | undefined) => (text === undefined ? null : { text: clip(text.trim(), maxReplyChars) })
  return renderTable({
    caption: `Replies that lost what the full cache found: ${lost.length > maxReplies ? `the first ${maxReplies} of ${lost.length}` : lost.length} cases.`,
    head: 'case',
    rowHead: ({ id, length }) => ({ text: id, detail: `at ${formatCount(length)}` }),
    columns: [
      {
        head: 'policy',
        cell: ({ policy, mode, budget }) => ({
          text: styleOf(styles, policy).label,
          detail: modeBudgetText(mode, budget),
        }),
      },
      { head: 'its reply', cell: ({ texts }) => quote(texts.reply) },
      { head: 'reply of the full cache', cell: (row) => quote(fullOf(row)?.texts.reply) },
    ],
    rows: lost.slice(0, maxReplies),
    isText: true,
  })
}
