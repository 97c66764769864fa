import { loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { sentenceKv } from '@kvasir/sentence-kv'
import { expect, test } from 'vitest'
import { readLongDocument } from './long-document.ts'
import { answerSideBySide, type QuestionOutcome } from './side-by-side.ts'

test('both sides answer from one reading, and are compared along the answer of the full cache', async () => {
  await using model = await loadLlama({ model: modelPath, contextTokens: 1024 })
  const { text, instruction, questions } = readLongDocument()
  const document = { instruction, questions: questions.slice(0, 2), text: text.slice(0, 2000) }
  const read: number[] = []
  const said: string[] = []
  const outcomes: QuestionOutcome[] = []
  const policy = sentenceKv({ budgetTokens: 128 })
  const events = { onRead: (numTokens: number) => read.push(numTokens), onText: (piece: string) => said.push(piece) }
  for await (const outcome of answerSideBySide(model, document, policy, events)) outcomes.push(outcome)

  expect(read.at(-1)).toBeGreaterThan(400)
  expect(outcomes.map(({ question }) => question)).toEqual(document.questions.map(({ question }) => question))
  for (const { sides, comparisons } of outcomes) {
    expect(comparisons.length).toBe(sides.full.stepMs.length)
    expect(comparisons.length).toBe(sides.policy.stepMs.length)
    expect(comparisons.length).toBe(model.tokenizer!.encode(sides.full.text).length + 1)
    expect(sides.policy.memory.attendedTokensMean).toBe(128)
    expect(sides.full.memory.attendedTokensMean).toBeGreaterThan(400)
    for (const { klNats } of comparisons) expect(klNats).toBeGreaterThan(0)
  }
  expect(outcomes[0].sides.full.text).toContain(document.questions[0].expects)
  expect(said.join('')).toContain(outcomes[0].sides.policy.text)
})
