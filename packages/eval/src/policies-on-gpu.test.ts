// SentenceKV on an engine whose rows lie on a GPU: what it reads is chosen there.
import { oracleTokens } from '@kvasir/baselines/oracle'
import type { CachePolicy } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { sentenceKv } from '@kvasir/sentence-kv'
import { describe, expect, test, vi } from 'vitest'
import { speaking } from './testing/speaking.ts'
import { loadTestEngine, type TestEngine } from './testing/test-engine.ts'

// Tests on all backends build an emulated library where there is a compiler, and name it here.
const isHere = process.env.KVASIR_GPU_LIBRARY !== undefined
const random = seededRandom(8)
const prompt = Int32Array.from({ length: 90 }, () => random.integer(512))
const budget = { budgetTokens: 40, sinkTokens: 4, recentTokens: 8 }

describe.skipIf(!isHere)('policies on a GPU', () => {
  async function load(backend: 'cpu' | 'cuda'): Promise<TestEngine> {
    vi.stubEnv('KVASIR_BACKEND', backend)
    const engine = await loadTestEngine({ mode: 'exact', kvCapacityTokens: 2048 })
    vi.unstubAllEnvs()
    return engine
  }

  /** Logits of 24 steps after the prompt, of a sequence and of its fork, which goes back first; tokens greedy or given. */
  async function decoded(backend: 'cpu' | 'cuda', policy: CachePolicy, given?: readonly number[]) {
    const { model, open } = await load(backend)
    await using _ = model
    await using sequence = open(policy)
    let last = await sequence.prefill(prompt)
    const tokens: number[] = []
    const logits: Float32Array[] = []
    const step = async (of: typeof sequence) => {
      tokens.push(given?.[tokens.length] ?? last.indexOf(Math.max(...last)))
      last = await of.decode(tokens.at(-1) as number)
      logits.push(last.slice())
    }
    for (let i = 0; i < 16; i++) await step(sequence)
    await using fork = await sequence.fork()
    await fork.rewind(prompt.length + 3)
    for (let i = 0; i < 4; i++) await step(fork)
    for (let i = 0; i < 4; i++) await step(sequence)
    return { tokens, logits }
  }

  test.each<[string, () => CachePolicy]>([
    ['SentenceKV', () => speaking(sentenceKv(budget))],
    ['SentenceKV by estimates alone', () => speaking(sentenceKv({ ...budget, poolFactor: 0 }))],
    ['SentenceKV by a running query, on the host', () => speaking(sentenceKv({ ...budget, query: 'ema' }))],
    ['the oracle', () => oracleTokens({ budgetTokens: 40 })],
  ])('%s decodes as on the CPU', { timeout: 120_000 }, async (_, policy) => {
    const wanted = await decoded('cpu', policy())
    const got = await decoded('cuda', policy(), wanted.tokens)
    const farthest = got.logits.map((row, i) =>
      Math.max(...row.map((value, k) => Math.abs(value - (wanted.logits[i]?.[k] ?? Number.NaN)))),
    )
    expect(farthest.length).toBe(24)
    expect(Math.max(...farthest)).toBeLessThan(5e-2)
    expect(got.logits.map((row) => row.indexOf(Math.max(...row)))).toEqual(
      wanted.logits.map((row) => row.indexOf(Math.max(...row))),
    )
  })
})
