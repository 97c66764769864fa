import type { ArmComparison } from './comparisons.ts'
import type { RunIdentity } from './results-file.ts'
import type { SummaryRow } from './summary.ts'
import { summaryTable, type TextTable } from './tables.ts'

export interface MarkdownRun {
  readonly summary: readonly SummaryRow[]
  readonly comparisons: readonly ArmComparison[]
  readonly identity: RunIdentity
  /** The command line that makes the same figures. */
  readonly command: string
}

const pairsCaption =
  '`TTFT x` is the time of the full recompute over that of the policy, case by case: its geometric mean over the cases.'

/** A page of tables: what a run measured, with the command that makes it again. One part a suite. */
export function markdownTables({ summary, comparisons, identity, command }: MarkdownRun): string {
  const parts = [...new Set(summary.map(({ suite }) => suite))].flatMap((suite) => {
    const rows = summary.filter((row) => row.suite === suite)
    const compared = comparisons.filter((row) => row.suite === suite)
    return [
      `## ${suite}`,
      markdownTable(summaryTable(rows)),
      ...(suite === 'pairs' ? [pairsCaption] : []),
      ...cellsPart(rows),
      ...(compared.length === 0 ? [] : ['### Policies of one budget', markdownTable(comparisonTable(compared))]),
    ]
  })
  const model = Object.entries(identity).map(([name, value]) => `${name} ${value}`)
  const note =
    'In parentheses: 95 % bootstrap intervals over the cases (10,000 draws); differences are paired by case. ' +
    'What the full cache itself gets less than 30 % of is shown, but not counted.'
  const page = ['# Results', `\`\`\`sh\n${command}\n\`\`\``, `${model.join(', ')}. ${note}`, ...parts]
  return `${page.join('\n\n')}\n`
}

/** Kinds and tasks, each beside the full cache. */
function cellsPart(rows: readonly SummaryRow[]): string[] {
  const lines = rows.flatMap(({ policy, mode, length, budget, cells }) =>
    cells.map(({ cell, n, score, scoreFull, counted }) => [
      cell,
      policy,
      mode ?? '-',
      String(length),
      budget === null ? 'all' : String(budget),
      String(n),
      (100 * score).toFixed(1),
      (100 * scoreFull).toFixed(1),
      counted ? 'yes' : 'no',
    ]),
  )
  if (new Set(lines.map(([cell]) => cell)).size < 2) return []
  const head = ['part', 'policy', 'mode', 'length', 'budget', 'n', '%', 'full %', 'counted']
  return ['### By part', markdownTable({ head, rows: lines })]
}

function comparisonTable(comparisons: readonly ArmComparison[]): TextTable {
  const show = (value: number) => `${value < 0 ? '' : '+'}${value.toFixed(4)}`
  return {
    head: ['policy', 'other', 'mode', 'length', 'budget', 'figure', 'n', 'difference', 'p', 'p (Holm)'],
    rows: comparisons.map(({ policy, other, mode, length, budget, field, n, difference, ci95, p, pHolm }) => [
      policy,
      other,
      mode ?? '-',
      String(length),
      budget === null ? 'all' : String(budget),
      field,
      String(n),
      ci95 === null ? show(difference) : `${show(difference)} (${show(ci95[0])} .. ${show(ci95[1])})`,
      p.toFixed(4),
      pHolm.toFixed(4),
    ]),
  }
}

function markdownTable({ head, rows }: TextTable): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = line(head.map((_, column) => (column === 0 ? '---' : '---:')))
  return [line(head), rule, ...rows.map(line)].join('\n')
}
