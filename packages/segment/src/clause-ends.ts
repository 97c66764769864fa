import { checkInteger, type Segment } from '@kvasir/core'
import { jointBetween } from './joints.ts'
import { SegmentCutter } from './segment-cutter.ts'

/** A cut this close to the last one is left out, where another place will do. */
const leastTokens = 4

/**
 * Cuts one sentence, given as the text of each token, into pieces of at most maxTokens: at the last clause mark (, ; : or
 * newline) that fits, else between words, else anywhere. Returns the ascending ends of the pieces; the last is pieces.length.
 */
export function clauseEnds(pieces: readonly string[], maxTokens: number): number[] {
  checkInteger('maxTokens', maxTokens, 1)
  const closed: Segment[] = []
  const cutter = new SegmentCutter(Math.min(leastTokens, maxTokens), maxTokens)
  cutter.grow(pieces.length, 'prose', (token) => jointBetween(pieces[token - 1], pieces[token]), closed)
  cutter.finish(pieces.length, closed)
  return closed.map(({ end }) => end)
}
