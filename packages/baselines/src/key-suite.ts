import { type CachePolicy, OptionError } from '@kvasir/core'
import { policySuite } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import type { KeyOptions } from './key-policy.ts'
import { heads, lastChunk, openSession, randomKv, range, rowsOf, stepOf } from './test-views.ts'

const small = { budgetTokens: 24, recentTokens: 8 }

/** The tests of a policy that keeps rows by their keys; `scoresOf` is its rule in plain sight. */
export function keySuite(make: (options: KeyOptions) => CachePolicy, scoresOf: (keys: number[][]) => number[]): void {
  describe('the contract of a policy', () => {
    describe('inside', () => policySuite(() => make(small), { describe, test, budgetTokens: 24 }))
    describe('beside', () => policySuite(() => make({ ...small, generated: 'beside' }), { describe, test }))
  })

  test('it reads sinks, the best rows by that score, the last ones and what was generated', async () => {
    const session = openSession(make(small))
    const { kv, keyOf, seen } = randomKv(90)
    await session.retain!(lastChunk(kv))
    expect(seen.numKeys).toBe(4 * 90) // each key once
    for (const [layer, kvHead] of heads) {
      const scores = scoresOf(range(0, 90).map((index) => keyOf(layer, kvHead, index)))
      const best = range(4, 82)
        .sort((a, b) => scores[b] - scores[a])
        .slice(0, 7)
      const rows = rowsOf(session.select!(stepOf(kv, layer, 95)))[kvHead]
      expect(rows).toEqual([...range(0, 4), ...best.sort((a, b) => a - b), ...range(82, 95)])
    }
    expect(seen.numKeys).toBe(4 * 90)
  })

  test('evicted keys count for nothing', async () => {
    const session = openSession(make(small))
    const { reader, keyOf, seen } = randomKv(90)
    const kv = reader(90, [{ start: 10, end: 40 }])
    await session.retain!(lastChunk(kv))
    expect(seen.numKeys).toBe(4 * 60)
    const held = [...range(0, 10), ...range(40, 90)]
    const scores = scoresOf(held.map((index) => keyOf(1, 1, index)))
    const best = held
      .map((_, at) => at)
      .slice(4, -8)
      .sort((a, b) => scores[b] - scores[a])
      .slice(0, 11)
    const rows = rowsOf(session.select!(stepOf(kv, 1, 91)))[1]
    expect(rows.slice(4, -9)).toEqual(best.map((at) => held[at]).sort((a, b) => a - b))
  })

  test('refuses a budget that is always read, and unknown keys', () => {
    expect(() => make({ budgetTokens: 20 })).toThrow(/more than the 20 tokens/)
    expect(() => make({ budgetTokens: 64, recent: 3 } as never)).toThrow(OptionError)
  })
}
