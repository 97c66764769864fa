import { ComposeError, compose } from '@kvasir/core'
import { toyEngine } from '@kvasir/core/testing'
import { loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { sentenceKv } from '@kvasir/sentence-kv'
import { expect, test } from 'vitest'
import { ask, keepNumbers, type Outcome, stacks } from './main.ts'

test('the policy keeps both ends of a prompt and its sentences with digits, however the prompt is cut', async () => {
  const prompt = `${'x'.repeat(40)}. He owed 7 coins. ${'y'.repeat(50)}`
  for (const chunkTokens of [200, 9]) {
    const { report } = await toyEngine().generate(prompt, { maxTokens: 1, chunkTokens, policy: keepNumbers })
    // Two layers of two KV heads; the current token is read too.
    expect(report.attendedTokens / 4).toBe(32 + ' He owed 7 coins.'.length + 32 + 1)
    expect(report.quarantined).toBe(false)
  }
})

test('a second selector is refused', () => {
  const select = () => sentenceKv({ budgetTokens: 64 })
  expect(() => compose(keepNumbers, select(), select())).toThrow(ComposeError)
})

test('what a stack holds is up to one policy, what it attends up to the other', { timeout: 120_000 }, async () => {
  await using model = await loadLlama({ model: modelPath, contextTokens: 1024 })
  const outcomes: Record<string, Outcome> = {}
  for (const [name, policy] of Object.entries(stacks)) {
    outcomes[name] = await ask(model, 'How many kilograms did the great lens weigh?', policy)
  }
  const full = outcomes['full cache']
  for (const name of ['full cache', 'SentenceKV', 'own, then SentenceKV']) {
    expect(outcomes[name].answer, name).toContain('89')
  }
  expect(outcomes.SentenceKV.heldTokens).toBeGreaterThan(500)
  for (const [name, { heldTokens, attendedTokens }] of Object.entries(outcomes)) {
    if (name.includes('then')) expect(heldTokens, name).toBeLessThan(200)
    if (name.endsWith('SentenceKV')) expect(attendedTokens, name).toBeLessThanOrEqual(64)
    else expect(attendedTokens, name).toBeGreaterThan(160)
    expect(attendedTokens).toBeLessThanOrEqual(full.attendedTokens)
  }
})
