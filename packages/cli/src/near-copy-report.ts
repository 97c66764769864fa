import type { NearCopyOutcome } from './answer-near-copy.ts'
import type { NearCopy } from './near-copy.ts'
import { tableText } from './output.ts'

/** What the near-copy's answer came from and cost, beside its full prefill. */
export function nearCopyReport(
  { expects, formerly }: NearCopy,
  { promptTokens, borrowed, full, reuse, audit }: NearCopyOutcome,
): string {
  const borrowedTokens = reuse?.borrowedTokens ?? 0
  const table = tableText(
    ['', 'full prefill', 'semshare-kv'],
    [
      ['tokens of the prompt', `${promptTokens}`, `${promptTokens}`],
      [
        'of these, tokens whose KV the first document lent',
        '0',
        `${borrowedTokens} (${percent(borrowedTokens / promptTokens)})`,
      ],
      ['share of the prefill that was computed', '100.0 %', percent(reuse?.recomputedShare ?? 1)],
      [
        'time to the first token',
        ...[full, borrowed].map(({ firstTokenMs }) => `${(firstTokenMs / 1e3).toFixed(2)} s`),
      ],
      ['says', ...[full, borrowed].map(({ text }) => factIn(text, [expects, formerly]))],
    ],
  )
  return [table, '', ...verdict(reuse, audit, full.firstTokenMs / borrowed.firstTokenMs)].join('\n')
}

function verdict(reuse: NearCopyOutcome['reuse'], audit: NearCopyOutcome['audit'], faster: number): readonly string[] {
  if (reuse === null) return ['Guard: the policy was put aside, and the prompt was computed in full.']
  if (!reuse.accepted) return [`Guard: declined, and the prompt was computed in full. ${sentence(reuse.reason)}`]
  const same = audit?.sameTop ? 'the same likeliest tokens' : 'other likeliest tokens'
  return [
    `Guard: accepted. ${sentence(reuse.reason)}`,
    ...(audit
      ? [`Audit: ${same} as after a full prefill, ${audit.klNats.toFixed(4)} nats a token of KL from it.`]
      : []),
    `SemShareKV starts to answer ${faster.toFixed(1)} times as early. What it borrows is approximate, so it is never lent on.`,
  ]
}

function sentence(reason: string): string {
  return `${reason[0].toUpperCase()}${reason.slice(1)}.`
}

/** The fact that stands in the text; both, where it says both. */
function factIn(text: string, facts: readonly string[]): string {
  return facts.filter((fact) => text.includes(fact)).join(' and ') || 'neither name'
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
