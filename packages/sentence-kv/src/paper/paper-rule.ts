import type { PoolRule } from '../pool/rule.ts'
import { heaviestRows, sumHeads } from '../window-mass.ts'
import type { ResolvedPaper } from './options.ts'

/** A sentence ends with a token whose text ends in a full stop, exclamation or question mark, closing marks and space apart. */
const terminated = /[.!?…。！？]["'”’»)\]}」』）]*\s*$/u

/**
 * Sections 4.1 and 4.2 of the paper: one set of rows a layer, those that the window attends to most, summed over its rows
 * and all heads; each step the whole sentences whose mean keys are closest to the mean query of the sentence being
 * written. Nothing is always read but the current token's own row.
 */
export function paperRule({ budgetTokens, keptTokens, sinkTokens, recentTokens }: ResolvedPaper): PoolRule {
  return {
    heads: 'kv',
    choice: {
      startEntries: sinkTokens,
      recentEntries: recentTokens,
      skippedEntries: 0,
      count: budgetTokens - sinkTokens - recentTokens,
    },
    closes: (piece) => terminated.test(piece),
    retain: ({ mass, numTokens, candidates }, { numHeads }) => {
      const rows = heaviestRows(candidates[0], sumHeads(mass, { first: 0, count: numHeads }, numTokens), keptTokens)
      return candidates.map(() => rows)
    },
    bucketEntries: () => Number.POSITIVE_INFINITY,
    readsAll: (_openTokens, _closes, numEntries) => numEntries <= budgetTokens,
  }
}
