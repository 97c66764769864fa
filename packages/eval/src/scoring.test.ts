import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rougeL, scoreReply, tokenF1 } from './scoring.ts'

test('all answers count a share each, whatever their case', () => {
  const reply = 'They are Lavender and 4292788.'
  expect(scoreReply('all', reply, ['lavender'])).toBe(1)
  expect(scoreReply('all', reply, ['lavender', '4292788', '66', '33'])).toBe(0.5)
  expect(scoreReply('all', '', ['a'])).toBe(0)
})

test('of several accepted answers one is enough', () => {
  expect(scoreReply('any', 'by YG entertainment', ['nobody', 'YG Entertainment'])).toBe(1)
  expect(scoreReply('any', 'by somebody', ['nobody', 'YG'])).toBe(0)
})

test('token F1 ignores case, articles and punctuation, and counts words as often as they stand', () => {
  expect(tokenF1('The Long Island.', 'long island')).toBe(1)
  expect(tokenF1('island', 'long island')).toBeCloseTo(2 / 3, 12)
  expect(tokenF1('no no no', 'no')).toBeCloseTo(0.5, 12)
  expect(tokenF1('sea', 'sand')).toBe(0)
  expect(tokenF1('', '')).toBe(1)
  expect(scoreReply('token_f1', 'yes', ['no', 'Yes!'])).toBe(1)
})

test('ROUGE-L is the F1 of the longest common subsequence of words', () => {
  // police killed the gunman / police kill the gunman: 3 of 4 words in order.
  expect(rougeL('Police killed the gunman', 'police kill the gunman')).toBe(0.75)
  expect(rougeL('the gunman kill police', 'police kill the gunman')).toBe(0.5)
  expect(rougeL('one-two', 'one two')).toBe(1)
  expect(scoreReply('rouge_l', 'a b c', ['x', 'a c'])).toBeCloseTo(0.8, 12)
})

test('ROUGE-L agrees with a plain recursion', () => {
  const longest = (a: readonly string[], b: readonly string[]): number => {
    if (a.length === 0 || b.length === 0) return 0
    if (a[0] === b[0]) return 1 + longest(a.slice(1), b.slice(1))
    return Math.max(longest(a.slice(1), b), longest(a, b.slice(1)))
  }
  const words = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 7 })
  fc.assert(
    fc.property(words, words, (a, b) => {
      expect(rougeL(a.join(' '), b.join(' '))).toBeCloseTo((2 * longest(a, b)) / (a.length + b.length), 12)
    }),
  )
})
