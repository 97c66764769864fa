import { indicesOfRow, pageTokens } from '@kvasir/core'
import { KernelError } from '../errors.ts'
import type { AttendRunsOp } from '../ops.ts'
import { attend } from './attend.ts'
import type { PlainArena } from './plain-arena.ts'
import type { PlainRunLists } from './plain-run-lists.ts'
import { type ReferenceOp, type ReferenceRun, sequenceOf } from './reference-op.ts'
import type { ListedRun } from './tier-plan.ts'

/** Each query head attends to the indices that its own row of the list, or that of its KV head, names. */
export const attendRuns: ReferenceOp<AttendRunsOp> = (op, start, end, run) => {
  const { layer, q, numHeads, scale, out, lse } = op
  const arena = op.arena as PlainArena
  const headsPerKvHead = numHeads / arena.numKvHeads
  if (start === 0) arena.plan?.read(layer, listedRuns(op, run))
  for (let s = start; s < end; s++) {
    const { contextTokens, pages } = sequenceOf(op.batch, s, run)
    const list = (op.lists as PlainRunLists).at(s)
    const headsPerRow = numHeads / (list.rowStarts.length - 1)
    for (let head = 0; head < numHeads; head++) {
      const kvHead = Math.floor(head / headsPerKvHead)
      const indices = indicesOfRow(list, Math.floor(head / headsPerRow))
      checkEnd(indices, contextTokens, s)
      const at = (s * numHeads + head) * arena.headDim
      const logSum = attend({ arena, layer, kvHead, pages, scale }, indices, q, out, at)
      if (lse !== undefined) lse[s * numHeads + head] = logSum
    }
  }
}

/** What the lists of each sequence name, by physical page. */
function listedRuns(op: AttendRunsOp, run: ReferenceRun): ListedRun[][] {
  return Array.from({ length: run.sequences }, (_, s) => {
    const { contextTokens, pages } = sequenceOf(op.batch, s, run)
    const { rowStarts, runs } = (op.lists as PlainRunLists).at(s)
    const listsPerKvHead = (rowStarts.length - 1) / op.arena.numKvHeads
    const listed: ListedRun[] = []
    for (let list = 0; list + 1 < rowStarts.length; list++) {
      for (let at = rowStarts[list] as number; at < (rowStarts[list + 1] as number); at++) {
        const [page, row, count] = runs.subarray(3 * at, 3 * at + 3) as unknown as [number, number, number]
        checkEnd([page * pageTokens + row + count - 1], contextTokens, s)
        listed.push({ page: pages[page] as number, kvHead: Math.floor(list / listsPerKvHead), row, count })
      }
    }
    return listed
  })
}

function checkEnd(indices: readonly number[], contextTokens: number, sequence: number): void {
  const end = (indices.at(-1) ?? -1) + 1
  if (end <= contextTokens) return
  throw new KernelError({
    parameter: `lists[${sequence}]`,
    expected: `runs that end at or before token ${contextTokens}, the end of the sequence`,
    got: end,
  })
}
