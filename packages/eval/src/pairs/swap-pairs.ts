import { sentences } from '@kvasir/segment'
import { scattered } from '../random-numbers.ts'
import { type PairCase, pairCase } from './pair-case.ts'
import { type PairTexts, passageOf } from './pair-data.ts'
import { groupsOf, joinTexts, shuffled } from './passages.ts'
import { fillIn, type SwapTemplate, swapPlaces, swapTemplates } from './swap-templates.ts'

const request = 'Read the following text carefully. A question about one detail of it follows at the end.'

/** Facts that nobody asks for stand beside the one that is asked for. */
const otherFacts = 3

/**
 * An article with facts of our own put in between its sentences: donor and target differ in one value of one fact, which
 * the question asks for. Every template at every place: 216 cases; at lengths above 2,048 tokens every fourth of them.
 */
export function swapPairs({ articles }: PairTexts, length: number): PairCase[] {
  const fillers = groupsOf(
    shuffled(
      articles.map((article) => passageOf(article, 'adv')),
      15,
    ),
    length - 150,
  ).map(joinTexts)
  if (fillers.length === 0) return []
  const facts = swapTemplates.flatMap((template, at) => swapPlaces.map((place, i) => ({ template, place, at, i })))
  // Neighbours are of different templates, so that the first few have all of them.
  const order = [...facts].sort((a, b) => a.i - b.i || a.at - b.at)
  const step = length > 2048 ? 4 : 1
  return order
    .map((fact, number) => ({ ...fact, number }))
    .filter(({ at, i }) => (at + i) % step === 0)
    .map(({ template, place, at, number }) =>
      swapPair({ template, place, at, number, length, filler: fillers[number % fillers.length] }),
    )
}

interface SwapChoice {
  readonly template: SwapTemplate
  readonly place: string
  /** Which template. */
  readonly at: number
  /** Which case. */
  readonly number: number
  readonly length: number
  readonly filler: string
}

function swapPair({ template, place, at, number, length, filler }: SwapChoice): PairCase {
  const { variant, values, sentence, question, answerPrefix } = template
  const next = scattered(number)
  const draw = <Item>(items: readonly Item[]): Item => items[Math.floor(next() * items.length)]
  const donorValue = draw(values)
  const targetValue = draw(values.filter((value) => value !== donorValue))
  const others = Array.from({ length: otherFacts }, (_, step) => {
    const other = swapTemplates[(at + 1 + step) % swapTemplates.length]
    const elsewhere = draw(swapPlaces.filter((one) => one !== place))
    return fillIn(other.sentence, elsewhere, draw(other.values))
  })
  const places = Array.from({ length: otherFacts + 1 }, next)
  const textWith = (value: string) => insertSentences(filler, [fillIn(sentence, place, value), ...others], places)
  const ask = (value: string) => ({ content: `${request}\n\n${textWith(value)}\n\n${fillIn(question, place)}` })
  return pairCase('swap', variant, length, `${at}-${place}`, {
    donor: ask(donorValue),
    target: ask(targetValue),
    fact: {
      answerPrefix: fillIn(answerPrefix, place),
      targetAnswer: ` ${targetValue}`,
      donorAnswer: ` ${donorValue}`,
    },
  })
}

/** Puts each of `added` behind the sentence of `text` that ends at about its share `places` of the text. */
export function insertSentences(text: string, added: readonly string[], places: readonly number[]): string {
  const pieces = sentences(text, { languages: ['en'] }).map(({ start, end }) => text.slice(start, end))
  const behind = places.map((place) => Math.min(pieces.length - 1, Math.floor(place * pieces.length)))
  return pieces
    .map((piece, at) => {
      const here = added.filter((_, i) => behind[i] === at)
      if (here.length === 0) return piece
      const end = piece.trimEnd()
      return `${[end, ...here].join(' ')}${piece.slice(end.length) || ' '}`
    })
    .join('')
}
