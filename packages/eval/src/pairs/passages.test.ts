import { expect, test } from 'vitest'
import { cutPassage, groupsOf, type Passage, shuffled } from './passages.ts'

function passage(id: string, numSentences: number): Passage {
  const text = Array.from({ length: numSentences }, (_, i) => `Line ${i} of ${id} is here.`).join(' ')
  return { id, text, tokens: 8 * numSentences }
}

test('a cut ends with a sentence, near the wanted tokens', () => {
  const cut = cutPassage(passage('a', 20), 83)
  expect(cut.text).toMatch(/is here\.$/)
  expect(cut.tokens).toBeGreaterThan(70)
  expect(cut.tokens).toBeLessThan(95)
  expect(passage('a', 20).text.startsWith(cut.text)).toBe(true)
  expect(cutPassage(passage('a', 2), 83)).toEqual(passage('a', 2))
})

test('groups are near the length, and no passage is in two', () => {
  const passages = [30, 5, 8, 12, 3, 40, 7, 9, 1].map((count, i) => passage(`p${i}`, count))
  const groups = groupsOf(passages, 160)
  const ids = groups.flat().map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(groups.length).toBeGreaterThan(2)
  for (const group of groups) {
    const tokens = group.reduce((sum, one) => sum + one.tokens, 0)
    expect(tokens).toBeGreaterThan(0.85 * 160)
    expect(tokens).toBeLessThan(1.2 * 160)
  }
})

test('an order follows from its seed, and has every item once', () => {
  const items = Array.from({ length: 20 }, (_, i) => i)
  expect(shuffled(items, 5)).toEqual(shuffled(items, 5))
  expect(shuffled(items, 5)).not.toEqual(shuffled(items, 6))
  expect([...shuffled(items, 5)].sort((a, b) => a - b)).toEqual(items)
})
