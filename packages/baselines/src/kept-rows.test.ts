import { type CachePolicy, compose, indicesOfRow, type Selection, scorer } from '@kvasir/core'
import { policySuite, toyEngine, toyTokens, watchPolicy } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { fixedChunks } from './chunk.ts'
import { h2o } from './h2o.ts'
import { infLlm } from './infllm.ts'
import { quest } from './quest.ts'
import { randomSentences } from './random.ts'
import { snapKv } from './snapkv.ts'
import { range } from './test-views.ts'
import { tova } from './tova.ts'

const keptTokens = 48
const keeps = () => snapKv({ budgetTokens: keptTokens, windowTokens: 8, generated: 'beside' })
const prompt = toyTokens(
  'One sentence stands here. Another one follows it. A third is longer than both of them. '.repeat(2),
)
const decoded = [...toyTokens('and')]

const selectors: [string, (budgetTokens: number) => CachePolicy][] = [
  ['quest', (budgetTokens) => quest({ budgetTokens, pageTokens: 4, recentTokens: 5 })],
  ['chunk', (budgetTokens) => fixedChunks({ budgetTokens, sizeTokens: 4, recentTokens: 5 })],
  ['infllm', (budgetTokens) => infLlm({ budgetTokens, blockTokens: 4, recentTokens: 5 })],
  ['random', (budgetTokens) => randomSentences({ budgetTokens })],
  ['h2o', (budgetTokens) => h2o({ budgetTokens })],
  ['scorer', (budgetTokens) => scorer('last', { budgetTokens }, ({ numTokens }) => range(0, numTokens))],
]

/** Rows that each KV head of each layer of each step attends, and what it was told to read. */
async function run(policy: CachePolicy) {
  const selections: Selection[] = []
  const watched = watchPolicy(policy, {
    after: (hook, _, answer) => void (hook === 'select' && selections.push(answer as Selection)),
  })
  const failures: unknown[] = []
  const sequence = toyEngine().createSequence({ policy: watched, onQuarantine: ({ error }) => failures.push(error) })
  await sequence.prefill(prompt)
  const attended: number[] = []
  let before = 0
  for (const token of decoded) {
    await sequence.decode(token)
    const { attendedTokens } = sequence.report()
    attended.push((attendedTokens - before) / 4)
    before = attendedTokens
  }
  expect(failures).toEqual([])
  return { attended, selections, report: sequence.report() }
}

describe.each(selectors)('%s beside a policy that keeps a part of the prompt', (_, selector) => {
  test.each([30, 200])('attends as many kept rows as a budget of %i holds', async (budgetTokens) => {
    for (const stack of [compose(keeps(), selector(budgetTokens)), compose(selector(budgetTokens), keeps())]) {
      const { attended } = await run(stack)
      expect(attended).toEqual(decoded.map((_, at) => Math.min(budgetTokens, keptTokens + at + 1)))
    }
  })

  test('selects no other rows, and counts what it reads', async () => {
    const { selections, report } = await run(compose(keeps(), selector(30)))
    for (const selection of selections) {
      if (selection.kind !== 'runs') throw new Error(`expected runs, got ${selection.kind}`)
      for (const kvHead of [0, 1]) expect(indicesOfRow(selection.runs, kvHead)).toHaveLength(30)
    }
    if (report.policy!.steps > 0) expect(report.policy!.attendedTokens).toBe(report.attendedTokens)
  })
})

describe('the contract of a policy, in such a stack', () => {
  policySuite(() => compose(keeps(), quest({ budgetTokens: 40 })), { describe, test, budgetTokens: 40 })
})

test('tova holds rows that some head still reads, and judges each head by those it reads', async () => {
  const { attended } = await run(compose(keeps(), tova({ budgetTokens: 30 })))
  for (const rows of attended) expect(rows).toBeLessThanOrEqual(30)
  const { attended: all } = await run(compose(keeps(), tova({ budgetTokens: 200 })))
  expect(all).toEqual(decoded.map((_, at) => keptTokens + at + 1))
})
