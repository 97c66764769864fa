import { expect, test } from 'vitest'
import { factMask } from './facts.ts'

/** Pieces as a BPE tokenizer gives them, `|` between pieces that are one word. */
const facts = (text: string) => {
  const pieces = text
    .split(' ')
    .flatMap((word, at) => word.split('|').map((part, i) => (i > 0 || at === 0 ? part : ` ${part}`)))
  const mask = factMask(pieces)
  return pieces
    .filter((_, at) => mask[at])
    .join('')
    .trim()
}

test('numbers, names, identifiers and negations are facts, with all tokens of the word', () => {
  expect(facts('she paid $|1|3|.|50 to Ann|a .')).toBe('$13.50 Anna')
  expect(facts('it is not here , she doesn|’t say')).toBe('not doesn’t')
  expect(facts('call max_|width or std|::|sort then f|()')).toBe('max_width std::sort f()')
  expect(facts('and so it goes on')).toBe('')
})

test('rare words are facts: those that the tokenizer cut in three', () => {
  expect(facts('a kv|as|ir plan and a plan|ning day')).toBe('kvasir')
})

test('text without spaces is no rare word', () => {
  expect(facts('猫は|本を|読|んで|いる')).toBe('')
  expect(facts('猫は|3|本を|読|んで|いる')).not.toBe('')
})

test('tokens without text belong to the word around them', () => {
  const pieces = [' I', ' like', ' ', '', '', '🙂7', ' now']
  expect([...factMask(pieces)]).toEqual([1, 0, 0, 1, 1, 1, 0])
  expect([...factMask([])]).toEqual([])
})
