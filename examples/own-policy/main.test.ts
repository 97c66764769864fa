import { policySuite } from '@kvasir/core/testing'
import { loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { describe, expect, test } from 'vitest'
import { ask, nearestKeys, readChapters, recentTokens, tryOnToy } from './main.ts'

describe('the contract of a policy holds', () => {
  policySuite(() => nearestKeys(32), { describe, test, budgetTokens: 32 })
})

test('the toy engine reads what the budget allows, and refuses no plan', async () => {
  const { decodeSteps, attendedTokens, quarantined } = await tryOnToy(nearestKeys(48))
  expect(attendedTokens).toBe(decodeSteps * 2 * 2 * 48)
  expect(quarantined).toBe(false)
})

test('on the model it finds what a window of the same budget cannot', { timeout: 120_000 }, async () => {
  await using model = await loadLlama({ model: modelPath })
  const text = await readChapters()
  const question = 'How long is the bridge?'
  expect(await ask(model, text, question)).toContain('418')
  expect(await ask(model, text, question, nearestKeys(64))).toContain('418')
  expect(await ask(model, text, question, recentTokens(64))).not.toContain('418')
})
