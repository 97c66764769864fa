import type { Estimate } from '../summary.ts'

type Row = Readonly<Record<string, unknown>>

/** Which rows of the suite are taken together beside those of one length and policy. */
export function pairGroup(row: Row): { readonly kind?: string; readonly variant?: string } {
  if (row.suite !== 'pairs') return {}
  return { kind: String(row.kind), variant: String(row.variant) }
}

/**
 * Of swapped facts: only cases in which the full recompute itself gives (prefers) the target's fact say something of a
 * policy. Shares of those in which the policy gives the target's fact, gives the donor's, and prefers the donor's, and
 * their numbers.
 */
export function factEstimates(
  rows: readonly Row[],
  estimate: (values: readonly number[]) => Estimate,
): Readonly<Record<string, Estimate>> {
  if (!rows.every(({ follows }) => typeof follows === 'string')) return {}
  const told = rows.filter(({ followsFull }) => followsFull === 'target')
  const preferred = rows.filter(({ marginFullNats }) => Number(marginFullNats) > 0)
  const share = (some: readonly Row[], is: (row: Row) => boolean) => estimate(some.map((row) => Number(is(row))))
  const count = (some: readonly Row[]): Estimate => ({ mean: some.length, ci95: null })
  return {
    countedCases: count(told),
    countedByMargin: count(preferred),
    ...(told.length > 0 && {
      targetFact: share(told, ({ follows }) => follows === 'target'),
      donorFact: share(told, ({ follows }) => follows === 'donor'),
    }),
    ...(preferred.length > 0 && { donorPreferred: share(preferred, ({ marginNats }) => Number(marginNats) < 0) }),
  }
}
