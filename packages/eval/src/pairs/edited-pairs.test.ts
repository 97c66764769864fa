import { sentences } from '@kvasir/segment'
import { expect, test } from 'vitest'
import { sampleTexts } from '../testing/sample-texts.ts'
import { identicalPairs, reorderPairs, replacePairs, replaceSentences, shiftPairs } from './edited-pairs.ts'

const texts = sampleTexts(24)
const length = 400

test('an identical pair differs in its question alone', () => {
  const [{ donor, target }] = identicalPairs(texts, length)
  const [a, b] = [donor, target].map(({ content }) => content.split('\n\n'))
  expect(a.slice(0, -1)).toEqual(b.slice(0, -1))
  expect(a.at(-1)).not.toBe(b.at(-1))
})

test('a reordered text has the same articles, none where it was', () => {
  for (const { donor, target } of reorderPairs(texts, length)) {
    const [a, b] = [donor, target].map(({ content }) => content.split('\n\n').slice(1))
    expect(a).toHaveLength(3)
    expect([...b].sort()).toEqual([...a].sort())
    for (const [at, text] of a.entries()) expect(b[at]).not.toBe(text)
  }
})

test('a shifted text has the tokens of others in front, and nothing else', () => {
  const cases = shiftPairs(texts, length)
  expect([...new Set(cases.map(({ variant }) => variant))]).toEqual(['k=1', 'k=4', 'k=16', 'k=64', 'k=1024'])
  for (const { donor, target } of cases) {
    expect(target.content.replace('\u0001 ', '')).toBe(donor.content)
    const [, text] = donor.content.split('sentences.\n\n')
    expect(text).not.toContain(target.front?.text.slice(0, 60))
  }
})

test('so many sentences are replaced as the share says, the same ones at larger shares', () => {
  const [own, other] = ['own', 'other'].map((name) =>
    Array.from({ length: 30 }, (_, i) => `Line ${i} is ${name}.`).join(' '),
  )
  const replaced = (share: number) => {
    const text = replaceSentences(own, other, share, 3)
    expect(sentences(text, { languages: ['en'] })).toHaveLength(30)
    return [...text.matchAll(/Line (\d+) is other/g)].map(([, line]) => line)
  }
  expect(replaced(0)).toEqual([])
  expect(replaced(0.1)).toHaveLength(3)
  expect(replaced(0.5)).toHaveLength(15)
  expect(replaced(1)).toHaveLength(30)
  expect(replaced(0.5)).toEqual(expect.arrayContaining(replaced(0.1)))
  expect(replacePairs(texts, length).some(({ donor, target }) => donor.content === target.content)).toBe(false)
})
