import { readFileSync } from 'node:fs'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compareAnswers } from './main.ts'

const assets = new URL('../../packages/cli/assets/', import.meta.url)
const setup = JSON.parse(readFileSync(new URL('questions.json', assets), 'utf8'))
const document = readFileSync(new URL(setup.document, assets), 'utf8')

let model: LlamaModel
beforeAll(async () => {
  model = await loadLlama({ model: modelPath })
})
afterAll(() => model.dispose())

test('the document is longer than 5,000 tokens and names each answer', () => {
  expect(model.tokenizer!.encode(document).length).toBeGreaterThan(5000)
  for (const { expects } of setup.questions) expect(document).toContain(expects)
})

test('both caches answer every question rightly, and SentenceKV reads a fraction', { timeout: 120_000 }, async () => {
  const questions = setup.questions.map(({ question }: { question: string }) => question)
  const { instruction } = setup
  let asked = 0
  for await (const { question, full, sentenceKv } of compareAnswers(model, {
    document,
    instruction,
    questions,
    budgetTokens: 256,
  })) {
    const { expects } = setup.questions[asked++]
    expect(full.text, question).toContain(expects)
    expect(sentenceKv.text, question).toContain(expects)
    expect(sentenceKv.hotBytes).toBeLessThan(full.hotBytes / 4)
    expect(sentenceKv.msPerToken).toBeGreaterThan(0)
  }
  expect(asked).toBe(3)
})
