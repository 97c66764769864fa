import { runsOfSpans } from '@kvasir/core'
import type { SelectRunsOp } from '../ops.ts'
import type { PlainArena } from './plain-arena.ts'
import type { PlainRunLists } from './plain-run-lists.ts'
import type { PlainSelector } from './plain-selection.ts'
import { type ReferenceOp, sequenceOf } from './reference-op.ts'

export const selectRuns: ReferenceOp<SelectRunsOp> = (op, start, end, run) => {
  const { layer, q, numHeads, scale, windowTokens } = op
  const arena = op.arena as PlainArena
  const { lists } = op.lists as PlainRunLists
  const rowValues = numHeads * arena.headDim
  for (let s = start; s < end; s++) {
    const selector = run.selectors[s]
    if (selector === undefined || selector === 'given') continue
    const { contextTokens: numTokens, pages } = sequenceOf(op.batch, s, run)
    if (selector === 'all') {
      const first = windowTokens > 0 ? Math.max(0, numTokens - windowTokens) : 0
      lists[s] = runsOfSpans([{ start: first, end: numTokens }], arena.numKvHeads)
    } else {
      const query = q.subarray(s * rowValues, (s + 1) * rowValues)
      const input = { kv: { arena, pages }, layer, q: query, numHeads, scale, numTokens }
      lists[s] = (selector as PlainSelector).select(input)
    }
  }
}
