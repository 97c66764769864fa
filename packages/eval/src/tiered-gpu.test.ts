// SentenceKV on a GPU whose rows lie in host memory or in a file.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { type SentenceKvOptions, sentenceKv } from '@kvasir/sentence-kv'
import type { TierOptions } from '@kvasir/tier'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { loadTestEngine, type TestEngine } from './testing/test-engine.ts'

const random = seededRandom(9)
const prompt = Int32Array.from({ length: 90 }, () => random.integer(512))
const small: SentenceKvOptions = { budgetTokens: 24, sinkTokens: 2, recentTokens: 4 }

async function loadOnGpu(kvTier?: TierOptions): Promise<TestEngine | null> {
  vi.stubEnv('KVASIR_BACKEND', 'cuda')
  try {
    return await loadTestEngine({ kvCapacityTokens: 512, chunkTokens: 32, ...(kvTier && { kvTier }) })
  } catch (error) {
    if ((error as Error).name !== 'BackendError') throw error
    return null
  } finally {
    vi.unstubAllEnvs()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'kvasir-tier-gpu-'))
const plain = await loadOnGpu()

afterAll(() => rmSync(folder, { recursive: true }))

describe.skipIf(plain === null)('SentenceKV on a GPU', () => {
  afterAll(() => plain?.model.dispose())

  /** Tokens and logits of greedy decoding. */
  async function decoded({ open }: TestEngine) {
    const sequence = open(sentenceKv(small))
    let logits = await sequence.prefill(prompt)
    const result = { tokens: [] as number[], logits: [] as Float32Array[] }
    for (let step = 0; step < 6; step++) {
      const best = logits.indexOf(Math.max(...logits))
      result.tokens.push(best)
      result.logits.push(logits.slice())
      logits = await sequence.decode(best)
    }
    await sequence.dispose()
    return result
  }

  const pinned: TierOptions = { lower: { kind: 'host' }, hotBytes: 100_000 }
  const tiers: readonly (readonly [string, TierOptions])[] = [
    ['pinned memory', pinned],
    ['ordinary memory', { ...pinned, lower: { kind: 'host', pinned: false } }],
    ['a file', { lower: { kind: 'file', path: join(folder, 'rows') }, hotBytes: 400_000 }],
  ]

  test.each(tiers)(
    'takes the same tokens over %s, and keeps the rows that it reads again',
    { timeout: 240_000 },
    async (_, kvTier) => {
      const wanted = await decoded(plain!)
      const tiered = await loadOnGpu(kvTier)
      const got = await decoded(tiered!)
      expect(got.tokens).toEqual(wanted.tokens)
      for (const [step, logits] of got.logits.entries()) {
        assertSameBits(logits, wanted.logits[step], `step ${step}`)
      }
      const counts = tiered!.model.tierCounts()!
      expect(counts.hits).toBeGreaterThan(0)
      expect(counts.overflows).toBe(0)
      // K rows that a choice by exact scores reads over the link are halves of rows.
      if (kvTier === pinned) expect(counts.movedRows).toBeGreaterThan(counts.misses)
      await tiered!.model.dispose()
    },
  )
})
