import type { Estimate, SummaryRow } from './summary.ts'

/** A table as text, of the rows of one suite. */
export interface TextTable {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

interface Column {
  readonly head: string
  /** The field it shows; columns of fields that no row has are left out. */
  readonly field?: string
  /** Left out as well where the field is 0 in every row. @default false */
  readonly leftOutAtZero?: boolean
  readonly cell: (row: SummaryRow, intervals: boolean) => string
}

function withInterval(
  show: (value: number) => string,
  mean: number,
  ci95: Estimate['ci95'],
  intervals: boolean,
): string {
  return ci95 === null || !intervals ? show(mean) : `${show(mean)} (${show(ci95[0])} .. ${show(ci95[1])})`
}

/** Shows a field times `scale`. */
function figure(head: string, field: string, scale: number, digits: number): Column {
  const show = (value: number) => (scale * value).toFixed(digits)
  return {
    head,
    field,
    cell: ({ estimates }, intervals) => {
      const estimate = estimates[field]
      return estimate ? withInterval(show, estimate.mean, estimate.ci95, intervals) : '-'
    },
  }
}

/** Shows how far a field is from the full cache on the same cases. */
function paired(head: string, field: string, scale: number, digits: number): Column {
  const show = (value: number) => `${value < 0 ? '' : '+'}${(scale * value).toFixed(digits)}`
  return {
    head,
    field,
    cell: ({ pairedToFull }, intervals) => {
      const pair = pairedToFull[field]
      return pair ? withInterval(show, pair.difference, pair.ci95, intervals) : '-'
    },
  }
}

/** Shows a field whose spread over cases says nothing. */
function plain(head: string, field: string, show: (value: number) => string): Column {
  return { head, field, cell: ({ estimates }) => (estimates[field] ? show(estimates[field].mean) : '-') }
}

/** The same; left out where it is 0 in every row. */
function rare(head: string, field: string, show: (value: number) => string): Column {
  return { ...plain(head, field, show), leftOutAtZero: true }
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

const pairFigures = [
  figure('KL nats', 'klNats', 1, 4),
  figure('self-PPL', 'selfPplRatio', 1, 3),
  figure('top-1 %', 'top1', 100, 1),
  plain('exact %', 'exactShare', (share) => (100 * share).toFixed(1)),
  figure('accepted %', 'accepted', 100, 0),
  figure('recomputed %', 'recomputedShare', 100, 1),
  figure('TTFT x', 'ttftRatio', 1, 2),
  plain('TTFT ms', 'ttftMs', (ms) => ms.toFixed(0)),
  plain('full ms', 'ttftFullMs', (ms) => ms.toFixed(0)),
  plain('counted', 'countedCases', (count) => count.toFixed(0)),
  figure('donor fact %', 'donorFact', 100, 1),
  figure('donor likelier %', 'donorPreferred', 100, 1),
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
  figure('same reply %', 'sameReply', 100, 1),
  figure('needle hit %', 'needleHit', 100, 1),
]

const costFigures = [
  figure('recall', 'recallNormalised', 1, 3),
  plain('read', 'attendedTokensMean', (tokens) => tokens.toFixed(0)),
  plain('held', 'heldTokens', (tokens) => tokens.toFixed(0)),
  plain('hot MB', 'hotBytes', (bytes) => (bytes / 1e6).toFixed(1)),
  plain('warm MB', 'warmBytes', (bytes) => (bytes / 1e6).toFixed(1)),
  plain('moved KB', 'movedBytesPerToken', (bytes) => (bytes / 1e3).toFixed(1)),
  rare('dense steps', 'denseSteps', (steps) => steps.toFixed(0)),
  rare('proven %', 'certifiedHeadsShare', (share) => (100 * share).toFixed(1)),
  rare('reused %', 'reusedStepsShare', (share) => (100 * share).toFixed(1)),
]

const pairColumns: readonly Column[] = [
  { head: 'kind', cell: ({ kind }) => kind ?? '-' },
  { head: 'variant', cell: ({ variant }) => variant ?? '-' },
]

const countedColumn: Column = { head: 'counted', cell: ({ counted }) => (counted === false ? 'no' : 'yes') }

export interface TableOptions {
  /** Figures with their intervals; otherwise the first figure alone has one. @default true */
  readonly intervals?: boolean
}

/** The figures of one suite, a line a row of its summary; columns that no row has a value for are left out. */
export function summaryTable(summary: readonly SummaryRow[], { intervals = true }: TableOptions = {}): TextTable {
  const suite = summary[0]?.suite
  const hasModes = suite !== 'windows' && suite !== 'pairs'
  const figuresOfSuite = suite === 'windows' ? windowFigures : suite === 'pairs' ? pairFigures : answerFigures
  const isThere = ({ field, leftOutAtZero }: Column) =>
    field && summary.some(({ estimates }) => estimates[field] && !(leftOutAtZero && estimates[field].mean === 0))
  const figures = [...figuresOfSuite, ...costFigures].filter(isThere)
  const columns: readonly Column[] = [
    ...keyColumns.filter(({ head }) => head !== 'mode' || hasModes),
    ...(suite === 'pairs' ? pairColumns : []),
    ...figures,
    ...(hasModes ? [countedColumn] : []),
  ]
  const lineOf = (row: SummaryRow) => columns.map((column) => column.cell(row, intervals || column === figures[0]))
  return { head: columns.map(({ head }) => head), rows: summary.map(lineOf) }
}
