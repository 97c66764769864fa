import { isNewline, isSpace } from './characters.ts'

/** How good it is to cut between two tokens. */
export const joint = { insideCharacter: 0, insideWord: 1, betweenWords: 2, afterClause: 3, afterSentence: 4 } as const
export type Joint = (typeof joint)[keyof typeof joint]

const spacedMarks = new Set([...',;:'].map((mark) => mark.charCodeAt(0)))
const fullMarks = new Set([...'，、；：،؛—'].map((mark) => mark.charCodeAt(0)))

/** The joint between the tokens with the texts `left` and `right`. A token without text holds part of the next one's character. */
export function jointBetween(left: string, right: string): Joint {
  if (left === '') return joint.insideCharacter
  const last = left.charCodeAt(left.length - 1)
  if (isNewline(last)) return joint.afterClause
  const isGap = right !== '' && isBlank(right.charCodeAt(0))
  const leftIsGap = isBlank(last)
  const mark = leftIsGap ? lastVisible(left) : last
  if (fullMarks.has(mark) || (spacedMarks.has(mark) && (isGap || leftIsGap))) return joint.afterClause
  return isGap || leftIsGap ? joint.betweenWords : joint.insideWord
}

/** The joint before a token with sentences that are kept together taken into account: it lies between tokens anchored at `left` and `right`. */
export function jointWithin(inner: readonly number[], left: number, right: number, between: () => Joint): Joint {
  return inner.some((end) => left < end && end <= right) ? joint.afterSentence : between()
}

const isBlank = (c: number): boolean => isSpace(c) || isNewline(c)

function lastVisible(text: string): number {
  let index = text.length - 1
  while (index >= 0 && isBlank(text.charCodeAt(index))) index--
  return index < 0 ? 0 : text.charCodeAt(index)
}
