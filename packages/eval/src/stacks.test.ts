// Every pair of policies that can be named, on a tiny model of random weights: it runs, or says why not and what to do.
import { type CachePolicy, ComposeError, compose, type QuarantineEvent } from '@kvasir/core'
import { assertSameBits, memoryDonors, seededRandom } from '@kvasir/core/testing'
import { loadLlama } from '@kvasir/llama'
import { describe, expect, test } from 'vitest'
import { type PolicyName, policies, policyNames } from './policies.ts'
import { tinyModelPath } from './testing/test-engine.ts'

const budgetTokens = 48
const ranked: readonly PolicyName[] = ['snapkv', 'pyramidkv', 'adakv', 'keydiff', 'knorm']

const takesBudget = (name: PolicyName) => name === 'full' || policies[name].keys.includes('budgetTokens')

type Part = readonly [title: string, make: () => CachePolicy]

const parts: readonly Part[] = [
  ...policyNames.map((name): Part => [name, () => policies[name].make(takesBudget(name) ? { budgetTokens } : {})]),
  ...ranked.map((name): Part => [`${name} beside`, () => policies[name].make({ budgetTokens, generated: 'beside' })]),
]
const pairs = parts.flatMap((one) => parts.map((two) => ({ title: `${one[0]}, then ${two[0]}`, one, two })))
const selects = ([, make]: Part) => make().effects.slots.includes('select')
const reuses = ([, make]: Part) => make().effects.slots.includes('reuse')
const [clashing, matching] = [true, false].map((both) =>
  pairs.filter(({ one, two }) => !(reuses(one) && reuses(two)) && (selects(one) && selects(two)) === both),
)

const events: QuarantineEvent[] = []
const model = await loadLlama({
  model: tinyModelPath,
  kvCapacityTokens: 4096,
  donors: memoryDonors(),
  onQuarantine: (event) => events.push(event),
})
const random = seededRandom(3)
const prompt = Int32Array.from({ length: 70 }, () => random.integer(512))

/** The logits of a few steps, and the report after them. */
async function run(policy: CachePolicy) {
  events.length = 0
  await using sequence = model.createSequence({ policy })
  await sequence.prefill(prompt)
  let logits = new Float32Array()
  for (const token of [7, 304, 15]) logits = (await sequence.decode(token)) as typeof logits
  expect(events.map(({ hook, error }) => `${hook}: ${error}`)).toEqual([])
  return { logits, report: sequence.report() }
}

describe('two selectors are refused, with the reason and a way out', () => {
  test.each(clashing)('$title', ({ one: [one, makeOne], two: [two, makeTwo] }) => {
    const stack = () => compose(makeOne(), makeTwo())
    expect(stack).toThrow(ComposeError)
    expect(stack).toThrow(/expected one selector, before the policies that refine it/)
    expect(stack).toThrow(new RegExp(`Keep one of ${one}(:[a-z]+)? and ${two}`))
    for (const name of [one, two]) {
      if ((ranked as readonly string[]).includes(name)) expect(stack).toThrow(`Give ${name} generated: 'beside'`)
    }
  })
})

describe('every other pair runs', () => {
  test.each(matching)('$title', async ({ one, two }) => {
    const { logits } = await run(compose(one[1](), two[1]()))
    expect(logits.every(Number.isFinite)).toBe(true)
  })
})

test('the full cache beside a policy changes no bit', async () => {
  for (const [, make] of parts) {
    const alone = await run(make())
    assertSameBits((await run(compose(make(), policies.full.make({})))).logits, alone.logits)
  }
})

const keep = () => policies.snapkv.make({ budgetTokens: 60, windowTokens: 8, generated: 'beside' })

test.each<[name: PolicyName, options: object]>([
  ['quest', { sinkTokens: 4 }],
  ['chunk', {}],
  ['infllm', {}],
  ['h2o', {}],
  ['random', {}],
  ['oracle', {}],
  ['oracle', { unit: 'sentence' }],
  ['sentence-kv', {}],
  ['sentence-kv', { mode: 'paper' }],
])('of the rows that SnapKV keeps of a prompt, %s %o chooses as many as its budget holds', async (name, options) => {
  const choose = () => policies[name].make({ budgetTokens, ...options })
  const [kept, chosen, both] = [await run(keep()), await run(choose()), await run(compose(keep(), choose()))]
  const { numLayers, numKvHeads } = model.config
  expect(both.report.attendedTokens).toBe(3 * numLayers * numKvHeads * budgetTokens)
  expect(() => assertSameBits(both.logits, kept.logits)).toThrow()
  expect(() => assertSameBits(both.logits, chosen.logits)).toThrow()
  const all = await run(compose(keep(), policies[name].make({ budgetTokens: 200, ...options })))
  expect(all.report.attendedTokens).toBe(kept.report.attendedTokens)
})

test('of the rows that SnapKV keeps of a prompt, a window reads those that lie in it', async () => {
  const window = () => policies.window.make({ budgetTokens, sinkTokens: 4 })
  const [kept, chosen, both] = [await run(keep()), await run(window()), await run(compose(keep(), window()))]
  expect(both.report.attendedTokens).toBeLessThan(chosen.report.attendedTokens)
  expect(chosen.report.attendedTokens).toBeLessThan(kept.report.attendedTokens)
})
