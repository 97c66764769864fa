import type { CaseFilter, QuestionCase } from './eval-case.ts'

/** The cases of the wanted lengths, the first `limit` of each, once a mode. */
export function filterCases(cases: readonly QuestionCase[], filter: CaseFilter): QuestionCase[] {
  const { lengths, limit = Number.POSITIVE_INFINITY, modes = ['A'] } = filter
  const counts = new Map<number, number>()
  const kept = cases.filter(({ length }) => {
    if (lengths && !lengths.includes(length)) return false
    const count = (counts.get(length) ?? 0) + 1
    counts.set(length, count)
    return count <= limit
  })
  return modes.flatMap((mode) => kept.map((one) => ({ ...one, mode })))
}
