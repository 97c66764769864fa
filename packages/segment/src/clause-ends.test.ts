import { OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clauseEnds } from './clause-ends.ts'

test('cuts at the last clause mark that fits', () => {
  const pieces = ['When', ' it', ' rains', ',', ' we', ' stay', ';', ' when', ' not', ',', ' we', ' go', '.']
  expect(clauseEnds(pieces, 8)).toEqual([7, 13])
  expect(clauseEnds(pieces, 6)).toEqual([4, 10, 13])
})

test('cuts between words where there is no clause mark, and anywhere in one word', () => {
  expect(clauseEnds([' an', ' un', 'break', 'able', ' thing', ' stands', ' here'], 5)).toEqual([5, 7])
  expect(clauseEnds(['a', 'b', 'c', 'd', 'e', 'f', 'g'], 3)).toEqual([3, 6, 7])
})

test('leaves a sentence that fits alone, and nothing of nothing', () => {
  expect(clauseEnds(['a', ',', ' b', '.'], 4)).toEqual([4])
  expect(clauseEnds([], 4)).toEqual([])
})

test('whatever the text, pieces tile it and none is too long', () => {
  const text = fc.array(fc.constantFrom('A', ' word', ',', '\n', '', '語', '、', ';', ' '), {
    maxLength: 80,
    size: 'max',
  })
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 12 }), (pieces, maxTokens) => {
      let at = 0
      for (const end of clauseEnds(pieces, maxTokens)) {
        expect(end).toBeGreaterThan(at)
        expect(end - at).toBeLessThanOrEqual(maxTokens)
        at = end
      }
      expect(at).toBe(pieces.length)
    }),
  )
})

test('a length below 1 is refused', () => {
  expect(() => clauseEnds(['a'], 0)).toThrow(OptionError)
})
