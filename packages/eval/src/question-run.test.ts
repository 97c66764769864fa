import { generate, type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { QuestionCase } from './eval-case.ts'
import { parsePolicySpec, planArms } from './policy-spec.ts'
import { runQuestionCase } from './question-run.ts'
import { questionTokens } from './question-tokens.ts'

const before = 'The ferry leaves the island at dawn. The code of the blue locker is 7301. Gulls follow it out. '
const filler = 'The baker opens late on Mondays, and the children wait at his door. Rain ran down the slates. '
const context = `Read this.\n\n${before}The code of the red locker is 4852. ${filler.repeat(3)}`
const question = (color: string, code: string) => ({
  text: `\n\nWhat is the code of the ${color} locker?`,
  answerPrefix: ` The code of the ${color} locker is`,
  answers: [code],
  maxNewTokens: 8,
})
const needle = 'The code of the blue locker is 7301.'
const blue: QuestionCase = {
  suite: 'niah',
  id: 'lockers',
  length: 256,
  mode: 'B',
  fields: { kind: 'fact' },
  context,
  needles: [{ start: context.indexOf(needle), end: context.indexOf(needle) + needle.length }],
  questions: [question('blue', '7301')],
  rule: 'all',
}
const arms = planArms(['full', 'window', 'sentence-kv'].map(parsePolicySpec), [48])

let model: LlamaModel
beforeAll(async () => {
  model = await loadLlama({ model: modelPath, mode: 'exact', contextTokens: 512, kvCapacityTokens: 4096 })
})
afterAll(() => model.dispose())

test('the full cache run twice is the same; a window that has lost the needle is not', {
  timeout: 60_000,
}, async () => {
  const steps: number[] = []
  const results = await runQuestionCase(model, blue, arms, { onStep: (step, numSteps) => steps.push(step / numSteps) })
  const [full, window, sentences] = results
  expect(full).toMatchObject({ policy: 'full', budget: null, mode: 'B', kind: 'fact', klNats: 0, sameReply: 1 })
  expect(full).toMatchObject({ correct: 1, exact: 1, needleHit: 1, recallRaw: expect.closeTo(1, 5) })
  expect([full.correct, full.exact, full.goldNllNats]).toEqual([full.correctFull, full.exactFull, full.goldNllFullNats])
  expect(window).toMatchObject({ correct: 0, exact: 0, needleHit: 0, attendedTokensMean: 48 })
  expect(window.goldNllNats as number).toBeGreaterThan((window.goldNllFullNats as number) + 1)
  expect(window.klNats as number).toBeGreaterThan(0.1)
  expect(sentences.needleHit as number).toBeGreaterThan(0.2)
  expect(sentences.klNats as number).toBeLessThan(window.klNats as number)
  expect(steps).toEqual([...steps].sort((a, b) => a - b))
  expect(steps.at(-1)).toBeLessThan(1)
})

test.each(['A', 'P'] as const)('the reply of the full cache in mode %s is that of plain generation', async (mode) => {
  const [result] = await runQuestionCase(model, { ...blue, mode }, arms.slice(0, 1), {}, { recallEvery: 0 })
  const { tokenizer, chatTemplate } = model
  const { prompt } = questionTokens({ ...blue, mode: 'P' }, { tokenizer: tokenizer!, chatTemplate })
  await using sequence = model.createSequence()
  let text = ''
  for await (const piece of generate(model, sequence, prompt, { maxTokens: 8 })) text += piece.text
  expect(result.reply).toBe(text)
  expect(result).not.toHaveProperty('recall')
  expect(result.needleHit).toBe(1)
})

test('in mode P the first new token is the full cache own, whatever the policy', async () => {
  const gold = { ...blue, mode: 'P' as const, questions: [{ ...question('blue', '7301'), maxNewTokens: 1 }] }
  const results = await runQuestionCase(model, gold, arms)
  for (const { goldNllNats, goldNllFullNats, klNats } of results) {
    expect([goldNllNats, klNats]).toEqual([goldNllFullNats, 0])
  }
})

test('questions in turn are scored one by one, over the cache that the first one left', async () => {
  const questions = [question('blue', '7301'), question('red', '4852')]
  const [full, window] = await runQuestionCase(model, { ...blue, suite: 'turns', questions }, arms)
  expect(full.reply).toHaveLength(2)
  expect(full).toMatchObject({ correctFirst: 1, correctLater: 1, correct: 1, klNats: 0, sameReply: 1 })
  expect(window.goldNllLaterNats as number).toBeGreaterThan(window.goldNllLaterFullNats as number)
  const first = window.goldNllFirstNats as number
  expect(window.goldNllNats).toBeCloseTo((first + (window.goldNllLaterNats as number)) / 2, 12)
})
