import { expect, test } from 'vitest'
import { openingOf, readLongDocument } from './long-document.ts'

test('each answer stands in one place of the document', () => {
  const { text, questions } = readLongDocument()
  expect(questions).toHaveLength(3)
  for (const { expects } of questions) expect(text.split(expects)).toHaveLength(2)
})

test('the opening is the first chapter with the answer to its question, ended like the whole', () => {
  const whole = readLongDocument()
  const opening = openingOf(whole)
  expect(opening.text.length).toBeLessThan(whole.text.length / 5)
  expect(opening.text).toContain(opening.questions[0].expects)
  expect(whole.text.endsWith('---') && opening.text.endsWith('---')).toBe(true)
  expect(opening.text.match(/^## /gm)).toHaveLength(1)
})
