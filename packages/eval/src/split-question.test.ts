import { expect, test } from 'vitest'
import { splitQuestion } from './split-question.ts'

test.each([
  ['Text.\nQuestion: a?\nText.\n\nQuestion: b?\nAnswer:', '\nQuestion: b?\nAnswer:'],
  ['Report.\n\nNow, sum it up.\n\nSummary:', '\nNow, sum it up.\n\nSummary:'],
  ['Some text.\nWhat is it?', '\nWhat is it?'],
  ['What is it?', 'What is it?'],
])('the question of %j', (prompt, question) => {
  expect(splitQuestion(prompt)).toEqual({ context: prompt.slice(0, prompt.length - question.length), question })
})
