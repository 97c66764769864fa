// Every policy of decoding by its SPEC on the engine, where inputs are short, strange, cut off or shared.
import { type CachePolicy, OptionError, type PolicySession, type QuarantineEvent } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { type LlamaModel, loadLlama, type Sequence } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { policyNames } from './policies.ts'
import { makePolicy, parsePolicySpec } from './policy-spec.ts'
import { tinyModelPath } from './testing/test-engine.ts'

/** Those of decoding; semshare-kv borrows rows for prompts, and has tests of its own. */
const ofDecoding = policyNames.filter((name) => name !== 'semshare-kv')

const specs = [
  ...ofDecoding,
  'window:renumber=true',
  'oracle:unit=sentence',
  'sentence-kv:keep=1.2',
  'sentence-kv:mode=paper,keep=1.2',
  'sentence-kv:mode=released,keep=1.2',
  ...['snapkv', 'pyramidkv', 'adakv', 'keydiff', 'knorm'].map((name) => `${name}:generated=beside`),
]
const budgetTokens = 72
/** What any of them wants to see of a prompt. */
const observe = { windowTokens: 32, allRows: true }

const events: QuarantineEvent[] = []
const noEvents = () =>
  expect(events.splice(0).map(({ policy, hook, error }) => `${policy}.${hook}: ${error}`)).toEqual([])
const onQuarantine = (event: QuarantineEvent) => events.push(event)

const tiny = await loadLlama({ model: tinyModelPath, kvCapacityTokens: 8192, onQuarantine })
afterAll(() => tiny.dispose())
const random = seededRandom(9)
const prompt = Int32Array.from({ length: 110 }, () => random.integer(512))
const decoded = [7, 304, 15, 499, 56]

function policyOf(spec: string, budget = budgetTokens) {
  return makePolicy({ spec: parsePolicySpec(spec), budget: spec === 'full' ? null : budget })
}

async function decodeAll(sequence: Sequence): Promise<Float32Array[]> {
  const logits: Float32Array[] = []
  for (const token of decoded) logits.push(await sequence.decode(token))
  return logits
}

/** The logits that follow each decoded token, of a sequence that nothing else touches. */
async function alone(spec: string, tokens: Int32Array): Promise<Float32Array[]> {
  await using sequence = tiny.createSequence({ policy: policyOf(spec) })
  await sequence.prefill(tokens)
  return await decodeAll(sequence)
}

function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  noEvents()
  expect(actual).toHaveLength(expected.length)
  for (const [at, logits] of actual.entries()) assertSameBits(logits, expected[at], `logits ${at}`)
}

const pairs = specs.map((one, at) => ({ one, two: specs[(at + 1) % specs.length] }))

describe.each([1, 5])('a prompt of %i tokens is read in full', (length) => {
  test.each(specs)('%s', async (spec) => {
    expectSame(await alone(spec, prompt.slice(0, length)), await alone('full', prompt.slice(0, length)))
  })
})

/** A sequence whose prefill was aborted once the row `at` was read. */
async function aborted(spec: string, at: number): Promise<Sequence> {
  const sequence = tiny.createSequence({ policy: policyOf(spec) })
  const controller = new AbortController()
  const onLogits = (index: number) => {
    if (index === at) controller.abort()
  }
  const run = sequence.prefill(prompt, { chunkTokens: 16, signal: controller.signal, onLogits })
  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
  return sequence
}

describe('a prefill that was aborted goes on as if it never was', () => {
  test.each(specs)('%s', async (spec) => {
    await using sequence = await aborted(spec, 40)
    expect(sequence.numTokens).toBe(48)
    await sequence.prefill(prompt.slice(48))
    expectSame(await decodeAll(sequence), await alone(spec, prompt))
  })
})

describe('aborted while the policy looks at the whole prompt, it goes on, or is set aside for the full cache', () => {
  test.each(specs)('%s', async (spec) => {
    await using sequence = await aborted(spec, 105)
    expect(sequence.numTokens).toBe(prompt.length)
    const logits = await decodeAll(sequence)
    const asides = events.splice(0).map(({ hook, error }) => `${hook}: ${(error as Error).name}`)
    const breaksOff = spec.startsWith('sentence-kv:')
    expect(asides).toEqual(breaksOff ? ['retain: AbortError'] : [])
    expectSame(logits, await alone(breaksOff ? 'full' : spec, prompt))
  })
})

describe('two forks of one prefix give what each gives alone', () => {
  test.each(pairs)('$one beside $two', async ({ one, two }) => {
    await using parent = tiny.createSequence({ observe })
    await parent.prefill(prompt)
    await using first = await parent.fork({ policy: policyOf(one) })
    await using second = await parent.fork({ policy: policyOf(two) })
    const logits: Float32Array[][] = [[], []]
    for (const token of decoded) {
      logits[0].push(await first.decode(token))
      logits[1].push(await second.decode(token))
    }
    expectSame(logits[0], await alone(one, prompt))
    expectSame(logits[1], await alone(two, prompt))
  })
})

describe('two ragged sequences of one batch get what each gets alone', () => {
  test.each(pairs)('$one beside $two', async ({ one, two }) => {
    const prompts = [prompt, prompt.slice(13)]
    await using first = tiny.createSequence({ policy: policyOf(one) })
    await using second = tiny.createSequence({ policy: policyOf(two) })
    await tiny.prefill([first.request(prompts[0]), second.request(prompts[1])])
    const steps: Float32Array[][] = []
    for (const token of decoded) steps.push(await tiny.decode([first.step(token), second.step(token)]))
    expectSame(
      steps.map(([logits]) => logits),
      await alone(one, prompts[0]),
    )
    expectSame(
      steps.map(([, logits]) => logits),
      await alone(two, prompts[1]),
    )
  })
})

/** The largest budget that each refuses. */
const tooSmall: Record<string, number> = {
  window: 4,
  random: 20,
  oracle: 0,
  'oracle:unit=sentence': 20,
  'sentence-kv': 39,
  'sentence-kv:mode=paper': 20,
  'sentence-kv:mode=released': 64,
  snapkv: 36,
  pyramidkv: 36,
  adakv: 36,
  keydiff: 20,
  knorm: 20,
  h2o: 1,
  tova: 1,
  quest: 20,
  chunk: 20,
  infllm: 36,
}

describe('a budget that sinks and window fill is refused with what to do', () => {
  test('the table has every policy', () => {
    expect(Object.keys(tooSmall)).toEqual(expect.arrayContaining(ofDecoding.filter((name) => name !== 'full')))
  })

  test.each(Object.entries(tooSmall))('%s with %i', (spec, budget) => {
    expect(() => policyOf(spec, budget)).toThrow(OptionError)
    expect(() => policyOf(spec, budget)).toThrow(/budgetTokens: expected .*/)
    expect(() => policyOf(spec, budget + 1)).not.toThrow()
  })
})

/** Rows of a step, mean over heads and a few steps. The released code reads all it keeps at the first word of a sentence. */
function mostAttended(spec: string, steps: number): number {
  if (spec === 'full') return 110 + steps
  if (spec.includes('released')) return 1.2 * budgetTokens + steps
  return spec.includes('beside') ? budgetTokens + steps : budgetTokens
}

const texts = {
  'no punctuation':
    'the river ran past the mill and the miller counted sacks while his dog slept on the warm stones and ',
  'only punctuation': '. . . ! ? ?! ... ;:, -- ( ) [ ] " . ',
  'control characters': 'One\u0000two\u0007.\r\n\tThree\u001b[0m four\u200b.\u202e Five\ufeff six.\u0085\u2028',
  'mixed scripts': 'Дощ іде. 雨が降る。 المطر يهطل؟ वर्षा होती है। 👩‍👩‍👧 Es regnet! ',
}

describe('on the bundled model', () => {
  let model: LlamaModel
  beforeAll(async () => {
    model = await loadLlama({ model: modelPath, contextTokens: 256, onQuarantine })
  })
  afterAll(() => model.dispose())

  test('a fork and a rewind in the middle of a character lose none of its bytes', async () => {
    const heard: string[] = []
    const session = (): PolicySession => ({
      append: ({ piece }) => void heard.push(piece),
      fork: session,
      rewind() {},
      async [Symbol.asyncDispose]() {},
    })
    const ids = model.tokenizer!.encode('Rain 𓀀')
    const half = ids.length - 1
    const policy: CachePolicy = {
      name: 'ear',
      effects: { slots: ['append'], fidelity: 'exact' },
      bind() {},
      open: session,
    }
    await using sequence = model.createSequence({ policy })
    await sequence.prefill(ids.subarray(0, half))
    await using fork = await sequence.fork()
    await fork.decode(ids[half])
    await sequence.decode(ids[half])
    await sequence.rewind(half)
    await sequence.decode(ids[half])
    expect(heard).toEqual(['𓀀', '𓀀', '𓀀'])
  })

  describe.each(Object.entries(texts))('a text of %s is decoded within the budget', (_, text) => {
    let parent: Sequence
    let rest: Int32Array
    beforeAll(async () => {
      const ids = model.tokenizer!.encode(text.repeat(20))
      parent = model.createSequence({ observe })
      await parent.prefill(ids.subarray(0, 110))
      rest = ids.subarray(110, 113)
    })
    afterAll(() => parent.dispose())

    test.each(specs)('%s', async (spec) => {
      await using sequence = await parent.fork({ policy: policyOf(spec) })
      for (const token of rest) expect((await sequence.decode(token)).every(Number.isFinite)).toBe(true)
      noEvents()
      const { attendedTokens, decodeSteps } = sequence.report()
      const { numLayers, numHeads, numKvHeads } = model.config
      const heads = spec.includes('released') ? numHeads : numKvHeads
      expect(attendedTokens / decodeSteps / numLayers / heads).toBeLessThanOrEqual(mostAttended(spec, decodeSteps))
    })
  })
})
