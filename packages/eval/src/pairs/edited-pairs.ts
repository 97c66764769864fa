import { sentences } from '@kvasir/segment'
import { frontMark, type PairCase, type PairPrompt, pairCase, summarize, summarizeRequest } from './pair-case.ts'
import { type PairTexts, passageOf } from './pair-data.ts'
import { cutPassage, groupsOf, joinTexts, type Passage, shuffled } from './passages.ts'

/** Pairs that are made out of articles: asked anew, shifted, put in another order, partly replaced. */

/** About 30 tokens each. */
const questions = [
  'Which people or groups does the text name, and what does each of them want? Answer with a short list, one line for every one of them.',
  'Does the writer agree or disagree with what the people in the text say? Give your reasons in no more than two or three plain sentences.',
  'What happened first, what happened after that, and how do things stand at the end of the text? Keep to the order of events, please.',
  'Imagine that a friend has no time to read all of this. Which one fact would you tell that friend about it, and why that one?',
  'What numbers, dates and amounts of money are in the text? Say for each of them in a few words what it stands for and where it is used.',
  'Who would be pleased by what the text says, and who would rather not hear it? Explain both in simple words that a child could follow.',
]

/** The same text; only the question behind it is new. */
export function identicalPairs({ articles }: PairTexts, length: number): PairCase[] {
  return groupsOf(shuffled(advanced(articles), 11), length).map((group, at) => {
    const ask = (question: string): PairPrompt => ({ content: `${joinTexts(group)}\n\n${question}` })
    return pairCase('identical', 'new-question', length, nameOf(group), {
      donor: ask(questions[at % questions.length]),
      target: ask(questions[(at + 1) % questions.length]),
    })
  })
}

const shifts = [1, 4, 16, 64, 1024]

/** The first tokens of another article in front. */
export function shiftPairs({ articles }: PairTexts, length: number): PairCase[] {
  const groups = groupsOf(shuffled(advanced(articles), 12), length)
  return shifts.flatMap((tokens) =>
    groups.map((group, at) => {
      // Long enough for any shift: the group behind, and the one behind that.
      const others = [1, 2].map((step) => joinTexts(groups[(at + step) % groups.length]))
      const text = joinTexts(group)
      return pairCase('shift', `k=${tokens}`, length, nameOf(group), {
        donor: summarize(text),
        target: {
          content: `${summarizeRequest}\n\n${frontMark} ${text}`,
          front: { text: others.join('\n\n'), tokens },
        },
      })
    }),
  )
}

/** The same three articles, the first one last. */
export function reorderPairs({ articles }: PairTexts, length: number): PairCase[] {
  const part = length / 3
  // Short ones would make a text far from the length.
  const enough = shuffled(advanced(articles), 13).filter(({ tokens }) => tokens > 0.7 * part)
  return threes(enough).map((group) => {
    const [a, b, c] = group.map((passage) => cutPassage(passage, part))
    return pairCase('reorder', '3-articles', length, nameOf(group), {
      donor: summarize(joinTexts([a, b, c])),
      target: summarize(joinTexts([b, c, a])),
    })
  })
}

const replacedPercents = [10, 30, 50, 70, 90]

/** So many of the sentences replaced by sentences of other articles, at places drawn by lot. */
export function replacePairs({ articles }: PairTexts, length: number): PairCase[] {
  const groups = groupsOf(shuffled(advanced(articles), 14), length)
  return replacedPercents.flatMap((percent) =>
    groups.map((group, at) => {
      const text = joinTexts(group)
      const other = joinTexts(groups[(at + 1) % groups.length])
      const target = replaceSentences(text, other, percent / 100, 1 + at)
      return pairCase('replace', `${percent}%`, length, nameOf(group), {
        donor: summarize(text),
        target: summarize(target),
      })
    }),
  )
}

/** `text` with a share of its sentences replaced by those of `other`, in its order; larger shares hold the smaller ones. */
export function replaceSentences(text: string, other: string, share: number, seed: number): string {
  const own = piecesOf(text)
  const others = piecesOf(other)
  const count = Math.round(share * own.length)
  const drawn = new Set(shuffled([...own.keys()], seed).slice(0, count))
  return own.map((piece, at) => (drawn.has(at) ? withEndOf(piece, others[at % others.length]) : piece)).join('')
}

/** Sentences with the space behind them. */
function piecesOf(text: string): string[] {
  return sentences(text, { languages: ['en'] }).map(({ start, end }) => text.slice(start, end))
}

/** `piece`, with the white space at the end of `model`, so that paragraphs stay. */
function withEndOf(model: string, piece: string): string {
  return piece.trimEnd() + model.slice(model.trimEnd().length)
}

function advanced(articles: PairTexts['articles']): Passage[] {
  return articles.map((article) => passageOf(article, 'adv'))
}

function threes<Item>(items: readonly Item[]): Item[][] {
  return Array.from({ length: Math.floor(items.length / 3) }, (_, i) => items.slice(3 * i, 3 * i + 3))
}

function nameOf(group: readonly Passage[]): string {
  return group.map(({ id }) => id).join('+')
}
