import { indicesOfRow, OptionError, type Selection, type StepView } from '@kvasir/core'
import { assertSameBits, policySuite, toyEngine, toyTokens, watchPolicy } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { type RandomSentencesOptions, randomSentences } from './random.ts'

describe('the contract of a policy', () => {
  policySuite(() => randomSentences({ budgetTokens: 40 }), { describe, test, budgetTokens: 40 })
})

const prompt = toyTokens(
  'One sentence stands here. Another one follows it. A third is a little longer than both. The fourth one ends. ' +
    'Now there are five of them. Six is enough. And this one is open',
)

/** The rows of both KV heads at each of four steps, and the last logits. */
async function run(options: RandomSentencesOptions) {
  const steps: number[][][] = []
  const policy = watchPolicy(randomSentences(options), {
    after(hook, [step], answer) {
      const selection = answer as Selection
      if (hook !== 'select' || selection.kind !== 'runs') return
      const rows = [0, 1].map((kvHead) => indicesOfRow(selection.runs, kvHead))
      if ((step as StepView).layer === 0) steps.push(rows)
      else expect(rows).toEqual(steps.at(-1))
    },
  })
  const sequence = toyEngine().createSequence({ policy })
  await sequence.prefill(prompt)
  let logits = new Float32Array()
  for (const token of toyTokens(' now')) logits = (await sequence.decode(token)) as typeof logits
  expect(steps.length).toBe(4)
  return { steps, logits }
}

test('the same seed draws the same rows, another one others', async () => {
  const [a, b, c] = await Promise.all([7, 7, 8].map((seed) => run({ budgetTokens: 60, seed })))
  expect(b.steps).toEqual(a.steps)
  expect(c.steps).not.toEqual(a.steps)
})

test('each step and each KV head has a draw of its own, of exactly the budget', async () => {
  const { steps } = await run({ budgetTokens: 60 })
  expect(new Set(steps.flat().map((indices) => indices.join())).size).toBe(8)
  for (const indices of steps.flat()) expect(indices.length).toBe(60)
})

test('sinks and recent tokens are always among them', async () => {
  const { steps } = await run({ budgetTokens: 30, sinkTokens: 3, recentTokens: 5 })
  steps.forEach((heads, step) => {
    const numTokens = prompt.length + step + 1
    for (const indices of heads) {
      expect(indices.slice(0, 3)).toEqual([0, 1, 2])
      expect(indices.slice(-5)).toEqual([5, 4, 3, 2, 1].map((back) => numTokens - back))
    }
  })
})

test('a budget of the whole length is the full cache', async () => {
  const { logits, steps } = await run({ budgetTokens: prompt.length + 4 })
  expect(steps[0][0]).toEqual(Array.from({ length: prompt.length + 1 }, (_, i) => i))
  const sequence = toyEngine().createSequence()
  await sequence.prefill(prompt)
  let full = new Float32Array()
  for (const token of toyTokens(' now')) full = (await sequence.decode(token)) as typeof full
  assertSameBits(logits, full)
})

test('a budget that leaves nothing to draw, and unknown keys, are refused', () => {
  expect(() => randomSentences({ budgetTokens: 20 })).toThrow(/more than the 20 tokens that are always read/)
  expect(randomSentences({ budgetTokens: 21 }).name).toBe('random')
  expect(() => randomSentences({ budgetTokens: 64, seed: -1 })).toThrow(OptionError)
  expect(() => randomSentences({ budgetTokens: 64, seeds: 1 } as never)).toThrow(/Did you mean seed\?/)
})
