import type { PoolRule, WindowAttention } from '../pool/rule.ts'
import { heaviestRows, maxPooled, sumHeads } from '../window-mass.ts'
import { type ResolvedReleased, recentEntries, startEntries } from './options.ts'

/** Rows of the observation window, and width of the max-pooling. */
const windowTokens = 32
const poolWidth = 7

/**
 * Of the 13 delimiters that the published scripts look up, those that byte-level vocabularies know under that spelling.
 * A token that merges one with other text ends nothing.
 */
const delimiters: ReadonlySet<string> = new Set(['.', '!', '?', '...'])

/** The published code, commit d6bb131, quirks included; the README of this package lists them. */
export function releasedRule({ budgetTokens, keptTokens }: ResolvedReleased): PoolRule {
  return {
    heads: 'query',
    choice: {
      startEntries,
      recentEntries,
      // The cut-off is strict: the entry after the first 32 can never be brought back.
      skippedEntries: 1,
      count: budgetTokens - startEntries - recentEntries,
    },
    windowTokens,
    closes: (piece) => delimiters.has(piece),
    retain: (attention) => attention.candidates.map((rows, head) => retainHead(attention, rows, head, keptTokens)),
    bucketEntries: (kept, numSentences) => Math.max(100, 2 * Math.floor(kept / Math.max(1, numSentences)) + 50),
    // A delimiter empties the open sentence before it is looked at; the first token of a sentence is alone in it.
    readsAll: (openTokens, closes) => closes || openTokens <= 1,
  }
}

/** The window's rows, and of those before it the ones of the highest pooled mass. */
function retainHead(
  { mass, numTokens, windowTokens: window }: WindowAttention,
  candidates: Int32Array,
  head: number,
  keptTokens: number,
): Int32Array {
  const pastEnd = numTokens - window
  let numPast = candidates.length
  while (numPast > 0 && candidates[numPast - 1] >= pastEnd) numPast--
  const pooled = maxPooled(sumHeads(mass, { first: head, count: 1 }, numTokens).subarray(0, pastEnd), poolWidth)
  const best = heaviestRows(candidates.subarray(0, numPast), pooled, keptTokens - (candidates.length - numPast))
  const rows = new Int32Array(best.length + candidates.length - numPast)
  rows.set(best)
  rows.set(candidates.subarray(numPast), best.length)
  return rows
}
