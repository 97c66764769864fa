import type { Estimate, SummaryRow } from './summary.ts'

/** A table as text, of the rows of one suite. */
export interface TextTable {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

interface Column {
  readonly head: string
  readonly cell: (row: SummaryRow) => string
}

/** Shows a field times `scale`, with its interval; nothing where no row has it. */
function figure(head: string, field: string, scale: number, digits: number): Column & { readonly field: string } {
  const show = (value: number) => (scale * value).toFixed(digits)
  const text = ({ mean, ci95 }: Estimate) =>
    ci95 === null ? show(mean) : `${show(mean)} (${show(ci95[0])} .. ${show(ci95[1])})`
  return { head, field, cell: ({ estimates }) => (estimates[field] ? text(estimates[field]) : '-') }
}

/** Shows how far a field is from the full cache on the same cases. */
function paired(head: string, field: string, scale: number, digits: number): Column & { readonly field: string } {
  const show = (value: number) => `${value < 0 ? '' : '+'}${(scale * value).toFixed(digits)}`
  return {
    head,
    field,
    cell: ({ pairedToFull }) => {
      const pair = pairedToFull[field]
      if (!pair) return '-'
      const { difference, ci95 } = pair
      return ci95 === null ? show(difference) : `${show(difference)} (${show(ci95[0])} .. ${show(ci95[1])})`
    },
  }
}

const keyColumns: readonly Column[] = [
  { head: 'policy', cell: ({ policy }) => policy },
  { head: 'mode', cell: ({ mode }) => mode ?? '-' },
  { head: 'length', cell: ({ length }) => String(length) },
  { head: 'budget', cell: ({ budget }) => (budget === null ? 'all' : String(budget)) },
  { head: 'n', cell: ({ n }) => String(n) },
]

const windowFigures = [
  figure('KL nats', 'klNats', 1, 4),
  figure('PPL +%', 'dPplPercent', 1, 1),
  figure('top-1 %', 'top1', 100, 1),
]

const answerFigures = [
  figure('correct %', 'correct', 100, 1),
  paired('to full', 'correct', 100, 1),
  figure('later %', 'correctLater', 100, 1),
  figure('score %', 'score', 100, 1),
  paired('to full', 'score', 100, 1),
  figure('exact %', 'exact', 100, 1),
  figure('answer NLL', 'goldNllNats', 1, 3),
  figure('KL nats', 'klNats', 1, 4),
  figure('needle hit %', 'needleHit', 100, 1),
]

const costFigures = [
  figure('recall', 'recallNormalised', 1, 3),
  plain('read', 'attendedTokensMean', (tokens) => tokens.toFixed(0)),
  plain('held', 'heldTokens', (tokens) => tokens.toFixed(0)),
  plain('hot MB', 'hotBytes', (bytes) => (bytes / 1e6).toFixed(1)),
  plain('warm MB', 'warmBytes', (bytes) => (bytes / 1e6).toFixed(1)),
]

function plain(head: string, field: string, show: (value: number) => string): Column & { readonly field: string } {
  return { head, field, cell: ({ estimates }) => (estimates[field] ? show(estimates[field].mean) : '-') }
}

const notCounted: Column = { head: 'counted', cell: ({ counted }) => (counted === false ? 'no' : 'yes') }

/** The figures of one suite, a line a row of its summary; columns that no row has a value for are left out. */
export function summaryTable(summary: readonly SummaryRow[]): TextTable {
  const isWindows = summary[0]?.suite === 'windows'
  const figures = [...(isWindows ? windowFigures : answerFigures), ...costFigures]
  const there = figures.filter(({ field }) => summary.some(({ estimates }) => estimates[field]))
  const columns: readonly Column[] = [...keyColumns, ...there, ...(isWindows ? [] : [notCounted])].filter(
    ({ head }) => head !== 'mode' || !isWindows,
  )
  return { head: columns.map(({ head }) => head), rows: summary.map((row) => columns.map(({ cell }) => cell(row))) }
}
