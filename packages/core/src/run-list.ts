import { PlanError } from './errors.ts'
import type { Span } from './segment.ts'

/** Tokens of a page. */
export const pageTokens = 16

/**
 * Which KV rows may be read: CSR of runs, one row a KV head. `page` counts the pages of the sequence in order
 * (page p holds indices 16 p to 16 p + 15), so a policy never sees physical memory. Runs of a row ascend, do not
 * overlap and never cross a page; len >= 1.
 */
export interface RunList {
  /** [numRows + 1] */
  readonly rowStarts: Int32Array
  /** [numRuns][3]: page, first, len */
  readonly runs: Int32Array
}

/** The list of a few index spans, the same for every row. Spans ascend and do not overlap. */
export function runsOfSpans(spans: readonly Span[], numRows: number): RunList {
  const one: number[] = []
  for (const { start, end } of spans) appendSpan(one, start, end)
  const numRuns = one.length / 3
  const runs = new Int32Array(one.length * numRows)
  for (let row = 0; row < numRows; row++) runs.set(one, row * one.length)
  return { rowStarts: Int32Array.from({ length: numRows + 1 }, (_, row) => row * numRuns), runs }
}

/** The list of one ascending array of indices a row. */
export function runsOfIndices(rows: readonly ArrayLike<number>[]): RunList {
  const rowStarts = new Int32Array(rows.length + 1)
  const runs: number[] = []
  rows.forEach((indices, row) => {
    let at = 0
    while (at < indices.length) {
      const start = indices[at]
      let end = start + 1
      for (at++; at < indices.length && indices[at] === end; at++) end++
      appendSpan(runs, start, end)
    }
    rowStarts[row + 1] = runs.length / 3
  })
  return { rowStarts, runs: Int32Array.from(runs) }
}

/** The indices that row `row` of the list names, ascending. */
export function indicesOfRow(list: RunList, row: number): number[] {
  const indices: number[] = []
  for (const { start, end } of spansOfRow(list, row)) for (let index = start; index < end; index++) indices.push(index)
  return indices
}

/** The spans of indices that row `row` of the list names, ascending; none crosses a page. */
export function spansOfRow(list: RunList, row: number): Span[] {
  const spans: Span[] = []
  for (let run = list.rowStarts[row]; run < list.rowStarts[row + 1]; run++) {
    const start = firstOf(list, run)
    spans.push({ start, end: start + list.runs[run * 3 + 2] })
  }
  return spans
}

/** Tokens that the list names, summed over its rows. */
export function countRunTokens(list: RunList): number {
  let tokens = 0
  for (let run = 0; run < list.runs.length; run += 3) tokens += list.runs[run + 2]
  return tokens
}

/** The list without the indices of the spans of each row, which ascend and do not overlap. */
export function runsWithoutSpans(list: RunList, spansOf: (row: number) => readonly Span[]): RunList {
  const rowStarts = new Int32Array(list.rowStarts.length)
  const runs: number[] = []
  for (let row = 0; row + 1 < list.rowStarts.length; row++) {
    const spans = spansOf(row)
    let next = 0
    for (const { start, end } of spansOfRow(list, row)) {
      let at = start
      while (next < spans.length && spans[next].end <= at) next++
      for (let cut = next; cut < spans.length && spans[cut].start < end; cut++) {
        appendSpan(runs, at, spans[cut].start)
        at = spans[cut].end
      }
      appendSpan(runs, at, end)
    }
    rowStarts[row + 1] = runs.length / 3
  }
  return { rowStarts, runs: Int32Array.from(runs) }
}

/** The indices that both lists name, row by row; both have the same number of rows. */
export function intersectRuns(a: RunList, b: RunList): RunList {
  const rowStarts = new Int32Array(a.rowStarts.length)
  const runs: number[] = []
  for (let row = 0; row + 1 < rowStarts.length; row++) {
    let [i, j] = [a.rowStarts[row], b.rowStarts[row]]
    while (i < a.rowStarts[row + 1] && j < b.rowStarts[row + 1]) {
      const [startA, startB] = [firstOf(a, i), firstOf(b, j)]
      const [endA, endB] = [startA + a.runs[i * 3 + 2], startB + b.runs[j * 3 + 2]]
      appendSpan(runs, Math.max(startA, startB), Math.min(endA, endB))
      if (endA <= endB) i++
      if (endB <= endA) j++
    }
    rowStarts[row + 1] = runs.length / 3
  }
  return { rowStarts, runs: Int32Array.from(runs) }
}

function firstOf({ runs }: RunList, run: number): number {
  return runs[run * 3] * pageTokens + runs[run * 3 + 1]
}

export interface RunListRules {
  /** An index that every row must name, such as the current token's. */
  readonly mustHold?: number
}

/** Throws a PlanError unless the list is as RunList says, with numRows rows of indices in [0, numTokens). O(runs). */
export function validateRunList(list: RunList, numRows: number, numTokens: number, rules: RunListRules = {}): void {
  const { rowStarts, runs } = list ?? {}
  if (!(rowStarts instanceof Int32Array) || rowStarts.length !== numRows + 1 || rowStarts[0] !== 0) {
    throw refusal('rowStarts', `an Int32Array of ${numRows + 1} values that starts with 0`, rowStarts)
  }
  if (!(runs instanceof Int32Array) || runs.length !== rowStarts[numRows] * 3) {
    throw refusal('runs', `an Int32Array of ${rowStarts[numRows]} runs of 3 values`, runs)
  }
  const mustHold = rules.mustHold ?? -1
  for (let row = 0; row < numRows; row++) {
    if (rowStarts[row + 1] < rowStarts[row] || rowStarts[row + 1] > rowStarts[numRows]) {
      throw refusal(`rowStarts[${row + 1}]`, 'ascending values', Array.from(rowStarts))
    }
    let at = 0
    let holds = mustHold < 0
    for (let run = rowStarts[row] * 3; run < rowStarts[row + 1] * 3; run += 3) {
      const page = runs[run]
      const first = runs[run + 1]
      const len = runs[run + 2]
      if (page < 0 || first < 0 || len < 1 || first + len > pageTokens) {
        const expected = `page >= 0, first >= 0, len >= 1, first + len <= ${pageTokens}`
        throw refusal(`runs[${run / 3}]`, expected, [page, first, len])
      }
      const start = page * pageTokens + first
      const end = start + len
      if (start < at || end > numTokens) {
        throw refusal(`runs[${run / 3}]`, `indices in [${at}, ${numTokens})`, [start, end])
      }
      if (mustHold >= start && mustHold < end) holds = true
      at = end
    }
    if (!holds) throw refusal(`row ${row}`, `index ${mustHold} among its runs`, 'a row without it')
  }
}

function refusal(parameter: string, expected: string, got: unknown): PlanError {
  const remedy = 'Make lists with runsOfIndices or runsOfSpans, from indices that ascend and include the current token.'
  return new PlanError({ parameter: `RunList ${parameter}`, expected, got, remedy })
}

function appendSpan(runs: number[], start: number, end: number): void {
  for (let at = start; at < end; ) {
    const first = at % pageTokens
    const len = Math.min(pageTokens - first, end - at)
    runs.push(Math.floor(at / pageTokens), first, len)
    at += len
  }
}
