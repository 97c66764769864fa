import { sentences } from '@kvasir/segment'
import { scattered } from '../random-numbers.ts'

/** A text of known size. */
export interface Passage {
  readonly id: string
  readonly text: string
  /** About so many. */
  readonly tokens: number
}

const gap = '\n\n'

/** Several passages as one text, a blank line between. */
export function joinTexts(passages: readonly Pick<Passage, 'text'>[]): string {
  return passages.map(({ text }) => text).join(gap)
}

/**
 * The passage up to the end of a sentence at about `tokens` tokens, by its mean length of a token; whole where it is not
 * longer. At least one sentence.
 */
export function cutPassage(passage: Passage, tokens: number): Passage {
  const { text } = passage
  if (passage.tokens <= tokens) return passage
  const wanted = (text.length * tokens) / passage.tokens
  const ends = sentences(text, { languages: ['en'] }).map(({ end }) => end)
  const end = ends.reduce((best, at) => (Math.abs(at - wanted) < Math.abs(best - wanted) ? at : best))
  return { ...passage, text: text.slice(0, end).trimEnd(), tokens: Math.round((passage.tokens * end) / text.length) }
}

/** A share of the length by which a joined text may miss it. */
const slack = 0.12

/**
 * Groups of passages, in their order, each of about `tokens` tokens in all: a group takes passages until it is near, and
 * cuts the last one where it would go beyond. No passage is in two groups; what is left over at the end is dropped.
 */
export function groupsOf(passages: readonly Passage[], tokens: number): Passage[][] {
  const groups: Passage[][] = []
  let group: Passage[] = []
  let sum = 0
  for (const passage of passages) {
    const left = tokens - sum
    const taken = passage.tokens > left * (1 + slack) ? cutPassage(passage, left) : passage
    group.push(taken)
    sum += taken.tokens
    if (sum < tokens * (1 - slack)) continue
    groups.push(group)
    group = []
    sum = 0
  }
  return groups
}

/** The items in an order that follows from the seed (Fisher and Yates). */
export function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const next = scattered(seed)
  const order = [...items]
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  return order
}
