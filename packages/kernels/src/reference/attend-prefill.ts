import type { AttendPrefillOp } from '../ops.ts'
import { attend } from './attend.ts'
import type { PlainArena } from './plain-arena.ts'
import { indexOf, type ReferenceOp, sequenceOf } from './reference-op.ts'

/** Row r of a sequence, at index i, attends to the indices up to i (with a window: the last windowTokens of them). */
export const attendPrefill: ReferenceOp<AttendPrefillOp> = (op, start, end, run) => {
  const { layer, q, numHeads, scale, windowTokens, out, lse } = op
  const arena = op.arena as PlainArena
  const headsPerKvHead = numHeads / arena.numKvHeads
  for (let s = 0; s < run.sequences; s++) {
    const rows = sequenceOf(op.batch, s, run)
    const { firstRow, endRow, pages } = rows
    for (let r = Math.max(firstRow, start); r < Math.min(endRow, end); r++) {
      const index = indexOf(op, r, rows, run)
      const first = windowTokens > 0 ? Math.max(0, index - windowTokens + 1) : 0
      const visible = Array.from({ length: index - first + 1 }, (_, i) => first + i)
      for (let head = 0; head < numHeads; head++) {
        const kvHead = Math.floor(head / headsPerKvHead)
        const at = r * numHeads + head
        const logSum = attend({ arena, layer, kvHead, pages, scale }, visible, q, out, at * arena.headDim)
        if (lse !== undefined) lse[at] = logSum
      }
    }
  }
}
