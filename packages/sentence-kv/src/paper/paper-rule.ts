import type { PoolRule } from '../pool/rule.ts'
import { heaviestRows, sumHeads } from '../window-mass.ts'
import type { ResolvedPaper } from './options.ts'

/** A sentence ends with a token whose text ends in a full stop, exclamation or question mark, closing marks and space apart. */
const terminated = /[.!?…。！？]["'”’»)\]}」』）]*\s*$/u

/**
 * Sections 4.1 and 4.2 of the paper: one set of rows a layer, those that the window attends to most, summed over its rows
 * and all heads; each step the whole sentences whose mean keys are closest to the mean query of the sentence being
 * written. What is always read beside them is an option: the paper names none but the current token's own row.
 */
export function paperRule(options: ResolvedPaper): PoolRule {
  const { budgetTokens, keptTokens, windowTokens, sinkTokens, recentTokens } = options
  return {
    heads: 'kv',
    choice: {
      startEntries: sinkTokens,
      recentEntries: recentTokens,
      skippedEntries: 0,
      count: budgetTokens - sinkTokens - recentTokens,
    },
    windowTokens,
    closes: (piece) => terminated.test(piece),
    retain: ({ mass, numTokens, candidates }, { numHeads }) => {
      const summed = sumHeads(mass, { first: 0, count: numHeads }, numTokens)
      return candidates.map((rows) => heaviestRows(rows, summed, keptTokens))
    },
    bucketEntries: () => Number.POSITIVE_INFINITY,
    readsAll: (_openTokens, _closes, numEntries) => numEntries <= budgetTokens,
  }
}
