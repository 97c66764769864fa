import { KvasirError } from '@kvasir/core'
import type { ChatMessage, RenderOptions } from '@kvasir/llama'
import { expect, test } from 'vitest'
import type { Mode, QuestionCase } from './eval-case.ts'
import { questionTokens, type TextModel } from './question-tokens.ts'

/** One token a character, its code. */
const tokenizer = {
  addsBos: false,
  bosId: null as number | null,
  encode: (text: string) => Int32Array.from(text, (character) => character.charCodeAt(0)),
  encodeWithOffsets: (text: string) => ({
    ids: tokenizer.encode(text),
    starts: Int32Array.from(text, (_, index) => index),
  }),
}
const render = (messages: readonly ChatMessage[], { addGenerationPrompt = true }: RenderOptions = {}) =>
  messages.map(({ role, content }) => `<${role[0]}>${content}</>\n`).join('') + (addGenerationPrompt ? '<a>' : '')
const model: TextModel = { tokenizer, chatTemplate: { render } }
const textOf = (ids: Iterable<number>) => String.fromCharCode(...ids)

const one: QuestionCase = {
  suite: 'niah',
  id: 'own-1',
  length: 1024,
  mode: 'A',
  fields: {},
  context: 'Bees hum. The key is 42. Wasps too.',
  needles: [{ start: 10, end: 24 }],
  questions: [{ text: '\n\nWhich key?', answerPrefix: ' It is', answers: ['42'], maxNewTokens: 8 }],
  rule: 'all',
}

test.each<[Mode, string, string]>([
  ['A', '<u>Bees hum. The key is 42. Wasps too.\n\nWhich key?</>', '\n<a> It is'],
  ['B', '<u>Bees hum. The key is 42. Wasps too.', '\n\nWhich key?</>\n<a> It is'],
  ['P', '<u>Bees hum. The key is 42. Wasps too.\n\nWhich key?</>\n<a> It is', ''],
])('mode %s prefills its part and forces the rest up to the answer', (mode, prompt, forced) => {
  const tokens = questionTokens({ ...one, mode }, model)
  expect(textOf(tokens.prompt)).toBe(prompt)
  expect(tokens.turns.map((turn) => textOf(turn.forced))).toEqual([forced])
  expect(textOf(tokens.turns[0].gold)).toBe(' 42')
  expect(textOf(tokens.needleRows.map((row) => tokens.prompt[row]))).toBe('The key is 42.')
})

test('a token that reaches over the end of the context is not prefilled in mode B', () => {
  const pairs = {
    ...tokenizer,
    encodeWithOffsets: (text: string) => {
      const starts = Int32Array.from({ length: Math.ceil(text.length / 2) }, (_, i) => 2 * i)
      return { ids: starts, starts }
    },
  }
  // '<u>' and the context are 38 characters, so 19 pairs.
  expect(questionTokens({ ...one, mode: 'B' }, { ...model, tokenizer: pairs }).prompt).toHaveLength(19)
  const longer = { ...one, mode: 'B' as const, context: `${one.context}!` }
  const tokens = questionTokens(longer, { ...model, tokenizer: pairs })
  expect(tokens.prompt).toHaveLength(19)
  expect(tokens.needleRows).toEqual([6, 7, 8, 9, 10, 11, 12, 13])
})

test('later questions follow the right answer to the one before', () => {
  const questions = [...one.questions, { ...one.questions[0], text: '\n\nAnd now?', answerPrefix: '', answers: ['43'] }]
  const { turns } = questionTokens({ ...one, questions }, model)
  expect(turns.map((turn) => textOf(turn.forced))).toEqual(['\n<a> It is', '</>\n<u>And now?</>\n<a>'])
  expect(turns.map((turn) => textOf(turn.gold))).toEqual([' 42', '43'])
})

test('the gold answer takes no second space, and no more tokens than may be new', () => {
  const [question] = one.questions
  const goldOf = (change: object) =>
    textOf(questionTokens({ ...one, questions: [{ ...question, ...change }] }, model).turns[0].gold)
  expect(goldOf({ answerPrefix: ' They are: ' })).toBe('42')
  expect(goldOf({ answers: ['123456789'] })).toBe(' 1234567')
})

test('the beginning-of-sequence token stands in front once', () => {
  const withBos = { ...model, tokenizer: { ...tokenizer, addsBos: true, bosId: 7 } }
  const { prompt, needleRows } = questionTokens(one, withBos)
  expect([prompt[0], textOf(prompt.subarray(1))]).toEqual([7, textOf(questionTokens(one, model).prompt)])
  expect(textOf(needleRows.map((row) => prompt[row]))).toBe('The key is 42.')
})

test('templates that alter texts or rewrite turns are refused', () => {
  const altering = { ...model, chatTemplate: { render: () => 'hello' } }
  expect(() => questionTokens(one, altering)).toThrow(KvasirError)
  const rewriting = (messages: readonly ChatMessage[], options?: RenderOptions) => render(messages.slice(-1), options)
  const questions = [...one.questions, ...one.questions]
  expect(() => questionTokens({ ...one, questions }, { ...model, chatTemplate: { render: rewriting } })).toThrow(
    /only appends turns/,
  )
})
