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
export function runsOfSpans(spans: readonly { readonly start: number; readonly end: number }[], numRows: number): RunList {
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
      const start = indices[at] as number
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
  for (let run = list.rowStarts[row] as number; run < (list.rowStarts[row + 1] as number); run++) {
    const first = (list.runs[run * 3] as number) * pageTokens + (list.runs[run * 3 + 1] as number)
    for (let offset = 0; offset < (list.runs[run * 3 + 2] as number); offset++) indices.push(first + offset)
  }
  return indices
}

/** Tokens that the list names, summed over its rows. */
export function countRunTokens(list: RunList): number {
  let tokens = 0
  for (let run = 0; run < list.runs.length; run += 3) tokens += list.runs[run + 2] as number
  return tokens
}

function appendSpan(runs: number[], start: number, end: number): void {
  for (let at = start; at < end; ) {
    const first = at % pageTokens
    const len = Math.min(pageTokens - first, end - at)
    runs.push(Math.floor(at / pageTokens), first, len)
    at += len
  }
}
