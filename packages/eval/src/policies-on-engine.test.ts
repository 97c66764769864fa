// Policies that choose natively need an engine that carries it out: here a tiny model of random weights.
import { oracleTokens } from '@kvasir/baselines/oracle'
import { type CachePolicy, runsOfIndices, type StepView } from '@kvasir/core'
import { assertSameBits, policySuite, seededRandom } from '@kvasir/core/testing'
import type { Sequence } from '@kvasir/llama'
import { type SentenceKvOptions, sentenceKv } from '@kvasir/sentence-kv'
import { describe, expect, test, vi } from 'vitest'
import { speaking } from './testing/speaking.ts'
import { loadTestEngine, type TestEngine } from './testing/test-engine.ts'

const rowsAStep = 2 * 2 // layers, KV heads
const random = seededRandom(3)
const prompt = Int32Array.from({ length: 64 }, () => random.integer(512))
const decoded = Int32Array.of(7, 304, 15, 499, 56, 401, 6, 130)
const budgetTokens = 24
const small = { budgetTokens, sinkTokens: 2, recentTokens: 4 }

async function load(backend: 'auto' | 'reference'): Promise<TestEngine> {
  vi.stubEnv('KVASIR_BACKEND', backend)
  const engine = await loadTestEngine()
  vi.unstubAllEnvs()
  return engine
}

const sentences = (options: Partial<SentenceKvOptions> = {}) => speaking(sentenceKv({ ...small, ...options }))

/** Logits of decoding the tokens under a policy, after the prompt. */
async function decodeAfter(sequence: Sequence, turns: readonly ArrayLike<number>[], tokens: ArrayLike<number>) {
  for (const turn of turns) await sequence.prefill(turn)
  const logits: Float32Array[] = []
  for (const token of Array.from(tokens)) logits.push(await sequence.decode(token))
  return logits
}

function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(actual.length).toBe(expected.length)
  for (const [at, logits] of actual.entries()) assertSameBits(logits, expected[at], `logits ${at}`)
}

const engines = { auto: await load('auto'), reference: await load('reference') }

describe('the contract of a policy', () => {
  const suite = { describe, test, budgetTokens, engine: engines.auto.underTest, prompt, decoded }
  const plainSuite = { ...suite, engine: engines.reference.underTest, prompt: prompt.slice(0, 40) }
  describe('SentenceKV', () => policySuite(() => sentences(), suite))
  describe('SentenceKV without text', () => policySuite(() => sentenceKv(small), suite))
  describe('SentenceKV on plain kernels', () => policySuite(() => sentences(), plainSuite))
  describe('SentenceKV by a running query, with choices that stand', () =>
    policySuite(() => sentences({ query: 'ema', rerankSteps: 3 }), { ...suite }))
  describe('oracle', () => policySuite(() => oracleTokens({ budgetTokens }), suite))
})

describe('SentenceKV', () => {
  const { model, open } = engines.auto

  test('with a budget of the whole length is the full cache', async () => {
    await using full = open()
    await using sequence = open(sentences({ budgetTokens: 128 }))
    const expected = await decodeAfter(full, [prompt], decoded)
    const actual = await decodeAfter(sequence, [prompt], decoded)
    expectSame(actual, expected)
    expect(sequence.report().attendedTokens).toBe(full.report().attendedTokens)
  })

  test.each([
    {},
    { jointHeads: false },
    { poolFactor: 0 },
    { codeBits: 1 as const, basis: 'channels' as const },
    { maxSegmentTokens: 11 },
  ])('reads the budget at every step and no more, with %o', async (options) => {
    for (const policy of [sentences(options), sentenceKv({ ...small, ...options })]) {
      await using sequence = open(policy)
      await sequence.prefill(prompt)
      for (const [step, token] of decoded.entries()) {
        await sequence.decode(token)
        expect(sequence.report().attendedTokens).toBe((step + 1) * budgetTokens * rowsAStep)
      }
    }
  })

  test('differs from the full cache where the budget is small', async () => {
    const runs = [undefined, sentences()].map((policy) => decodeAfter(open(policy), [prompt], decoded))
    const [full, small] = await Promise.all(runs)
    expect(() => expectSame(small, full)).toThrow()
  })

  test('two turns are their concatenation', async () => {
    const whole = await decodeAfter(open(sentences()), [prompt], decoded)
    for (const cut of [1, 16, 37, 63]) {
      const turns = [prompt.slice(0, cut), prompt.slice(cut)]
      expectSame(await decodeAfter(open(sentences()), turns, decoded), whole)
    }
  })

  test('wherever a sequence is cut back, it goes on as a fresh one', async () => {
    await using sequence = open(sentences())
    await decodeAfter(sequence, [prompt], [])
    for (let kept = prompt.length - 1; kept > 30; kept--) {
      await sequence.rewind(kept)
      const next = prompt.slice(kept, kept + 3)
      await using fresh = open(sentences())
      const expected = await decodeAfter(fresh, [prompt.slice(0, kept)], next)
      expectSame(await decodeAfter(sequence, [], next), expected)
    }
  })

  test('started on a fork of a plain sequence it is what it would have been from the beginning', async () => {
    await using plain = open()
    await plain.prefill(prompt)
    await using fork = await plain.fork({ policy: sentences() })
    expectSame(await decodeAfter(fork, [], decoded), await decodeAfter(open(sentences()), [prompt], decoded))
  })

  test('a batch gives each sequence what it gets alone', async () => {
    const prompts = [prompt, prompt.slice(9), prompt.slice(0, 41)]
    const alone = await Promise.all(prompts.map((ids) => decodeAfter(open(sentences()), [ids], decoded)))
    const policies = [sentences(), sentences(), sentences()]
    const sequences = policies.map((policy) => open(policy))
    await model.prefill(sequences.map((sequence, i) => sequence.request(prompts[i])))
    for (const [step, token] of decoded.entries()) {
      const logits = await model.decode(sequences.map((sequence) => sequence.step(token)))
      expectSame(
        logits,
        alone.map((run) => run[step]),
      )
    }
  })

  test('sentences that the model writes become segments', async () => {
    await using sequence = engines.reference.open(sentences()) // whose indexes take what they hold
    await sequence.prefill(prompt)
    for (const token of [8, 9, 1, 2, 3, 4, 8]) await sequence.decode(token)
    const { indexBytes } = sequence.report()
    await sequence.decode(9) // proves that the full stop ended the sentence
    expect(sequence.report().indexBytes).toBeGreaterThan(indexBytes)
  })
})

describe('the oracle', () => {
  const { open } = engines.auto

  test('with a budget of the whole length is the full cache', async () => {
    const expected = await decodeAfter(open(), [prompt], decoded)
    const policy = oracleTokens({ budgetTokens: 128, jointHeads: true })
    expectSame(await decodeAfter(open(policy), [prompt], decoded), expected)
  })

  test('chooses the rows of the largest attention, as a plain search finds them', async () => {
    const searched = await decodeAfter(open(searchingPolicy(budgetTokens)), [prompt], decoded)
    const chosen = await decodeAfter(open(oracleTokens({ budgetTokens })), [prompt], decoded)
    expectSame(chosen, searched)
  })
})

/** Computes every attention weight in plain sight: of each KV head the current row and the others of most weight. */
function searchingPolicy(budget: number): CachePolicy {
  return {
    name: 'searching',
    effects: { slots: ['select'], fidelity: 'lossy', selectScope: 'layer' },
    bind() {},
    open: ({ profile }) => ({
      select: (step) => {
        const { numHeads, numKvHeads } = profile.shape.layers[step.layer!]
        const rows = Array.from({ length: numKvHeads }, (_, kvHead) => {
          const weights = attentionOf(step, kvHead, numHeads / numKvHeads, profile.shape.layers[0].headDim)
          const others = weights.map((_, index) => index).slice(0, -1)
          const best = others.sort((a, b) => weights[b] - weights[a]).slice(0, budget - 1)
          return [...best.sort((a, b) => a - b), step.numTokens - 1]
        })
        return { kind: 'runs', runs: runsOfIndices(rows) }
      },
      async [Symbol.asyncDispose]() {},
    }),
  }
}

/** Softmax weights of every row, summed over the queries of the KV head. */
function attentionOf(step: StepView, kvHead: number, group: number, headDim: number): number[] {
  const keys = step.kv.keys(step.layer!, kvHead, 0, step.numTokens)
  const sums = new Array<number>(step.numTokens).fill(0)
  for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
    const scores = sums.map((_, index) => {
      let dot = 0
      for (let i = 0; i < headDim; i++) dot += step.queries![head * headDim + i] * keys[index * headDim + i]
      return dot / Math.sqrt(headDim)
    })
    const most = Math.max(...scores)
    const exps = scores.map((score) => Math.exp(score - most))
    const total = exps.reduce((sum, value) => sum + value, 0)
    for (const [index, value] of exps.entries()) sums[index] += value / total
  }
  return sums
}
