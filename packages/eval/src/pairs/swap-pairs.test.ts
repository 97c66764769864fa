import { expect, test } from 'vitest'
import { sampleTexts } from '../testing/sample-texts.ts'
import { insertSentences, swapPairs } from './swap-pairs.ts'
import { factTokens, followedFact } from './swapped-fact.ts'

const cases = swapPairs(sampleTexts(12), 1024)

test('there are 216 cases, 72 of each sort, the same ones each time', () => {
  const numOf = (variant: string) => cases.filter((one) => one.variant === variant).length
  expect(['entity', 'number', 'negation'].map(numOf)).toEqual([72, 72, 72])
  expect(new Set(cases.map(({ id }) => id)).size).toBe(216)
  expect(swapPairs(sampleTexts(12), 1024)).toEqual(cases)
  expect(swapPairs(sampleTexts(24), 4096)).toHaveLength(54)
})

test('donor and target differ in one value of one sentence, which the question asks for', () => {
  for (const { donor, target, fact } of cases) {
    const [a, b] = [donor, target].map(({ content }) => content.split(/(?<=\.) /))
    const changed = a.flatMap((sentence, i) => (sentence === b[i] ? [] : [[sentence, b[i]]]))
    expect(b).toHaveLength(a.length)
    expect(changed).toHaveLength(1)
    const [[left, right]] = changed
    expect(left.replace(fact!.donorAnswer, fact!.targetAnswer)).toBe(right)
    expect(right).toContain(fact!.answerPrefix + fact!.targetAnswer)
    expect(target.content.split(fact!.answerPrefix)).toHaveLength(2)
    expect(target.content.trimEnd()).toMatch(/\?$/)
  }
})

test('sentences are put in behind sentences, wherever they are to stand', () => {
  expect(insertSentences('One is. Two is.\nThree is.', ['X is.', 'Y is.'], [0.99, 0.4])).toBe(
    'One is. Two is. Y is.\nThree is. X is. ',
  )
})

test('the answers part at the first token that differs', () => {
  const encode = (text: string) => Int32Array.from(text, (char) => char.codePointAt(0) as number)
  const fact = { answerPrefix: 'It is', targetAnswer: ' 41', donorAnswer: ' 47' }
  const { forced, target, donor } = factTokens(fact, { encode })
  expect(String.fromCodePoint(...forced, target, donor)).toBe('It is 417')
  expect(() => factTokens({ ...fact, donorAnswer: ' 4' }, { encode })).toThrow('no token tells')
})

test('a reply follows the fact that it names first', () => {
  const fact = { answerPrefix: 'The mill is', targetAnswer: ' not open', donorAnswer: ' open' }
  expect(followedFact(' NOT open on Mondays.', fact)).toBe('target')
  expect(followedFact(' open on Mondays, not open else', fact)).toBe('donor')
  expect(followedFact(' closed', fact)).toBe('other')
})
