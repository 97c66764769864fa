import { type PairCase, type PairPrompt, pairCase, summarize } from '@kvasir/eval'
import type { Tokenizer } from '@kvasir/llama'
import { sentences } from '@kvasir/segment'

/** What a prompt borrows, and under which policy. */
export interface ReusePair {
  readonly name: string
  readonly spec: string
  readonly pair: PairCase
}

const questions = [
  'Which people does the text name, and what does each of them do? Answer with a short list, one line for every one of them.',
  'What numbers and dates are in the text? Say for each of them in a few words what it stands for and where it is used.',
]

/** Every so many sentences one is written anew: about four fifths of the tokens stay in runs. */
const rewrittenEvery = 5

/** Pairs over the first `length` tokens of the text, which is repeated where it is too short. */
export function reusePairs(text: string, length: number, tokenizer: Pick<Tokenizer, 'encode' | 'decode'>): ReusePair[] {
  const ids = repeated(tokenizer.encode(`${text}\n\n`), length + 64)
  const cut = (start: number, end: number) => tokenizer.decode(ids.slice(start, end))
  const whole = cut(0, length)
  const ask = (question: string): PairPrompt => ({ content: `${whole}\n\n${question}` })
  const third = Math.floor(length / 3)
  const [a, b, c] = [0, 1, 2].map((part) => cut(part * third, (part + 1) * third))
  const row = (name: string, fidelity: string, donor: PairPrompt, target: PairPrompt): ReusePair => ({
    name: `reuse ${name}, ${fidelity}`,
    spec: `semshare-kv:fidelity=${fidelity}`,
    pair: pairCase('shift', name, length, name, { donor, target }),
  })
  const shifted = (tokens: number) => summarize(`${tokenizer.decode(shuffledWords(ids.slice(0, tokens)))} ${whole}`)
  const [order, reordered] = [
    [a, b, c],
    [b, c, a],
  ].map((parts) => summarize(parts.join('\n\n')))
  return [
    row('new question', 'balanced', ask(questions[0]), ask(questions[1])),
    row('shift 16', 'fast', summarize(whole), shifted(16)),
    row('shift 64', 'balanced', summarize(whole), shifted(64)),
    row('reorder', 'fast', order, reordered),
    row('reorder', 'balanced', order, reordered),
    row('rewritten', 'balanced', summarize(whole), summarize(rewrite(whole))),
  ]
}

/** The same words in another order: of the same length, and nothing to borrow but the start of the prompt. */
export function unrelatedPair(text: string, length: number, tokenizer: Pick<Tokenizer, 'encode' | 'decode'>): PairCase {
  const ids = repeated(tokenizer.encode(`${text}\n\n`), length)
  const donor = summarize(tokenizer.decode(ids))
  const target = summarize(tokenizer.decode(shuffledWords(ids)))
  return pairCase('unrelated', 'words', length, 'words', { donor, target })
}

function repeated(once: Int32Array, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => once[i % once.length])
}

/** By a step that meets every place once. */
function shuffledWords(ids: Int32Array): Int32Array {
  let step = Math.floor(0.618 * ids.length) || 1
  while (commonDivisor(step, ids.length) > 1) step++
  return Int32Array.from(ids, (_, i) => ids[(i * step) % ids.length])
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}

/** Every fifth sentence with its words the other way round: as long as before, and nothing of it is to be borrowed. */
function rewrite(text: string): string {
  return sentences(text, { languages: ['en'] })
    .map(({ start, end }, at) => {
      const sentence = text.slice(start, end)
      if (at % rewrittenEvery !== rewrittenEvery - 1) return sentence
      const words = sentence.trimEnd()
      return `${words.split(' ').reverse().join(' ')}${sentence.slice(words.length)}`
    })
    .join('')
}
