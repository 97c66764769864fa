import { formatCount } from '../format.ts'
import type { PolicyStyle } from '../policies.ts'
import type { CaseRow, GroupRow } from '../results.ts'
import type { Cell } from '../table.ts'

/** All that a results folder says about one suite. */
export interface SuiteResults {
  readonly suite: string
  readonly cases: readonly CaseRow[]
  readonly groups: readonly GroupRow[]
  readonly styles: readonly PolicyStyle[]
}

interface Arm {
  readonly policy: string
  readonly budget: number | null
  readonly mode: string | null
}

export function styleOf(styles: readonly PolicyStyle[], policy: string): PolicyStyle {
  return styles.find((style) => style.policy === policy)!
}

/** Rows by policy in the order of the key, then by mode, then by budget. */
export function sortArms<Row extends Arm>(rows: readonly Row[], styles: readonly PolicyStyle[]): Row[] {
  const rank = new Map(styles.map(({ policy }, i) => [policy, i]))
  return rows.toSorted(
    (a, b) =>
      rank.get(a.policy)! - rank.get(b.policy)! ||
      (a.mode ?? '').localeCompare(b.mode ?? '') ||
      (a.budget ?? 0) - (b.budget ?? 0),
  )
}

export function armKey({ policy, budget, mode }: Arm): string {
  return JSON.stringify([policy, budget, mode])
}

export function modeBudgetText(mode: string | null, budget: number | null): string {
  const budgetText = budget === null ? 'no budget' : `budget ${formatCount(budget)}`
  return mode === null ? budgetText : `mode ${mode}, ${budgetText}`
}

/** What names a row of a table: the policy, and under it budget and mode. */
export function armCell(styles: readonly PolicyStyle[], { policy, budget, mode }: Arm): Cell {
  return { text: styleOf(styles, policy).label, detail: modeBudgetText(mode, budget) }
}

/** Lengths that occur, ascending. */
export function lengthsOf(rows: readonly { readonly length: number }[]): number[] {
  return [...new Set(rows.map(({ length }) => length))].sort((a, b) => a - b)
}

export function lengthText(length: number): string {
  return `${formatCount(length)} tokens of context`
}

/** Budgets that occur, ascending, the missing one last. */
export function budgetsOf(rows: readonly { readonly budget: number | null }[]): (number | null)[] {
  return [...new Set(rows.map(({ budget }) => budget))].sort((a, b) => (a ?? Infinity) - (b ?? Infinity))
}

/** Modes that occur, in alphabetical order, none first. */
export function modesOf(rows: readonly { readonly mode: string | null }[]): (string | null)[] {
  return [...new Set(rows.map(({ mode }) => mode))].sort((a, b) => (a ?? '').localeCompare(b ?? ''))
}
