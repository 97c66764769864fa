import { type RunList, runsOfSpans } from '@kvasir/core'
import type { SelectRunsOp } from '../ops.ts'
import type { PlainArena } from './plain-arena.ts'
import type { PlainKeptRows } from './plain-kept-rows.ts'
import type { PlainRunLists } from './plain-run-lists.ts'
import type { PlainSelector } from './plain-selection.ts'
import { type ReferenceOp, sequenceOf } from './reference-op.ts'

export const selectRuns: ReferenceOp<SelectRunsOp> = (op, start, end, run) => {
  const { layer, q, numHeads, scale, windowTokens } = op
  const arena = op.arena as PlainArena
  const { lists, narrowed } = op.lists as PlainRunLists
  const rowValues = numHeads * arena.headDim
  for (let s = start; s < end; s++) {
    const selector = run.selectors[s]
    const kept = (run.kept[s] as PlainKeptRows | null) ?? undefined
    const { contextTokens: numTokens, pages } = sequenceOf(op.batch, s, run)
    if (selector === 'all') {
      const first = windowTokens > 0 ? Math.max(0, numTokens - windowTokens) : 0
      lists[s] = runsOfSpans([{ start: first, end: numTokens }], arena.numKvHeads)
    } else if (selector !== undefined && selector !== 'given') {
      const query = q.subarray(s * rowValues, (s + 1) * rowValues)
      const input = { kv: { arena, pages }, layer, q: query, numHeads, scale, numTokens, kept }
      lists[s] = (selector as PlainSelector).select(input)
    }
    narrowed[s] = kept?.narrow(layer, lists[s] as RunList, numTokens - 1)
  }
}
