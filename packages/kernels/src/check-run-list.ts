import { pageTokens, type RunList, ShapeError } from '@kvasir/core'
import { KernelError } from './errors.ts'

/** Throws unless the list has numRows rows of runs that ascend, do not overlap and stay inside their pages. */
export function checkRunList({ rowStarts, runs }: RunList, numRows: number): void {
  if (!(rowStarts instanceof Int32Array) || rowStarts.length !== numRows + 1) {
    throw new ShapeError({ parameter: 'list.rowStarts', expected: `Int32Array of ${numRows + 1}`, got: rowStarts })
  }
  if (!(runs instanceof Int32Array) || runs.length % 3 !== 0) {
    throw new ShapeError({ parameter: 'list.runs', expected: 'Int32Array of triples', got: runs })
  }
  if (rowStarts[0] !== 0 || rowStarts[numRows] !== runs.length / 3) {
    const got = `${rowStarts[0]} and ${rowStarts[numRows]}`
    throw new ShapeError({ parameter: 'list.rowStarts', expected: `0 first and ${runs.length / 3} last`, got })
  }
  for (let row = 0; row < numRows; row++) {
    const [from, to] = [rowStarts[row] as number, rowStarts[row + 1] as number]
    if (to < from) throw new ShapeError({ parameter: `list.rowStarts[${row + 1}]`, expected: `>= ${from}`, got: to })
    let free = 0
    for (let run = from; run < to; run++) {
      const page = runs[3 * run] as number
      const first = runs[3 * run + 1] as number
      const len = runs[3 * run + 2] as number
      const start = page * pageTokens + first
      const fits = page >= 0 && page < 2 ** 27 && first >= 0 && len >= 1 && first + len <= pageTokens && start >= free
      if (!fits) {
        throw new KernelError({
          parameter: `list.runs[${run}]`,
          expected: `page, first, len inside one page and from index ${free} on`,
          got: [page, first, len],
        })
      }
      free = start + len
    }
  }
}
