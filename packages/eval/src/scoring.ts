import type { ScoreRule } from './eval-case.ts'

/**
 * Score in [0, 1] of a reply. all: share of the answers that occur in it, ignoring case; any: 1 if one of them does
 * (RULER's rules for retrieval and for questions); token_f1, rouge_l: best over the answers.
 */
export function scoreReply(rule: ScoreRule, reply: string, answers: readonly string[]): number {
  switch (rule) {
    case 'all':
      return answers.filter((answer) => holds(reply, answer)).length / answers.length
    case 'any':
      return Number(answers.some((answer) => holds(reply, answer)))
    case 'token_f1':
      return Math.max(...answers.map((answer) => tokenF1(reply, answer)))
    case 'rouge_l':
      return Math.max(...answers.map((answer) => rougeL(reply, answer)))
  }
}

function holds(reply: string, answer: string): boolean {
  return reply.toLowerCase().includes(answer.toLowerCase())
}

/** F1 of two texts as bags of words, lower-cased, without punctuation and English articles (Rajpurkar et al. 2016). */
export function tokenF1(reply: string, answer: string): number {
  const words = (text: string) =>
    text
      .toLowerCase()
      .replace(/\p{P}/gu, '')
      .split(/\s+/)
      .filter((word) => word !== '' && !['a', 'an', 'the'].includes(word))
  const [ours, theirs] = [words(reply), words(answer)]
  const left = new Map<string, number>()
  for (const word of theirs) left.set(word, (left.get(word) ?? 0) + 1)
  let common = 0
  for (const word of ours) {
    const count = left.get(word) ?? 0
    if (count === 0) continue
    left.set(word, count - 1)
    common++
  }
  return f1(common, ours.length, theirs.length)
}

/** F1 by the longest common subsequence of lower-cased alphanumeric words, not stemmed (Lin 2004). */
export function rougeL(reply: string, answer: string): number {
  const words = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  const [ours, theirs] = [words(reply), words(answer)]
  // lengths[j]: longest common subsequence of the words of ours so far and the first j of theirs.
  const lengths = new Int32Array(theirs.length + 1)
  for (const word of ours) {
    let diagonal = 0
    for (let j = 1; j <= theirs.length; j++) {
      const above = lengths[j]
      lengths[j] = word === theirs[j - 1] ? diagonal + 1 : Math.max(above, lengths[j - 1])
      diagonal = above
    }
  }
  return f1(lengths[theirs.length], ours.length, theirs.length)
}

/** Two empty texts are alike. */
function f1(common: number, ours: number, theirs: number): number {
  return ours + theirs === 0 ? 1 : (2 * common) / (ours + theirs)
}
