import type { CachePolicy } from '@kvasir/core'
import { policySuite } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import {
  lastChunk,
  openSession,
  randomAttention,
  randomKv,
  randomWeights,
  range,
  rowsOf,
  shape,
  stepOf,
} from './test-views.ts'

type Session = ReturnType<typeof openSession>

/** The budget of the sessions that `opened` opens. */
export const heldTokens = 12

const { reader } = randomKv(0)

/** One decode step at a length of numTokens: the rows of each layer and KV head. */
export function step(session: Session, numTokens: number): number[][][] {
  return [0, 1].map((layer) => {
    const weights = randomWeights(layer, numTokens)
    return rowsOf(session.select!(stepOf(reader(numTokens), layer, numTokens, { weights })))
  })
}

export async function opened(make: (budgetTokens: number) => CachePolicy, numTokens = 60): Promise<Session> {
  const session = openSession(make(heldTokens))
  await session.retain!({ ...lastChunk(reader(20)), last: false })
  await session.retain!(lastChunk(reader(numTokens), randomAttention(numTokens, 1)))
  return session
}

/** The rule in plain sight: of rows and their worth, what is left of them when the least of those before recentStart go. */
export function evictTo(limit: number, recentStart: number, worth: Map<number, number>): void {
  while (worth.size > limit) {
    const old = [...worth].filter(([row]) => row < recentStart)
    worth.delete(old.reduce((least, each) => (each[1] < least[1] ? each : least))[0])
  }
}

/** The tests of a policy that evicts row by row; `heldSets`: sets of rows that it holds of the model of the test views. */
export function attendedSuite(make: (budgetTokens: number) => CachePolicy, heldSets: number): void {
  describe('the contract of a policy', () => {
    policySuite(() => make(24), { describe, test, budgetTokens: 24 })
  })

  test('forks go on alike, and leave the other alone', async () => {
    const session = await opened(make)
    step(session, 61)
    const fork = session.fork!({
      profile: { shape: { layers: Array.from({ length: 2 }, () => ({ ...shape, rope: null })) } },
    } as never)
    const ofFork = [62, 63].map((numTokens) => step(fork, numTokens))
    expect([62, 63].map((numTokens) => step(session, numTokens))).toEqual(ofFork)
  })

  test('a rewind to the end of the prompt is exact; further on, what was evicted since stays so', async () => {
    const [session, fresh] = [await opened(make), await opened(make)]
    for (const numTokens of range(61, 70)) step(session, numTokens)
    session.rewind!(60)
    const expected = [61, 62, 63].map((numTokens) => step(fresh, numTokens))
    expect([61, 62, 63].map((numTokens) => step(session, numTokens))).toEqual(expected)
    session.rewind!(61)
    for (const rows of step(session, 62).flat()) {
      expect(rows.length).toBeLessThanOrEqual(12)
      expect(rows.every((row) => row < 62)).toBe(true)
      expect(rows.at(-1)).toBe(61)
    }
  })

  test('a rewind into the prompt makes its rows new again', async () => {
    const [session, fresh] = [await opened(make), await opened(make)]
    step(session, 61)
    session.rewind!(33)
    await session.retain!(lastChunk(reader(60), randomAttention(60, 1)))
    expect(step(session, 61)).toEqual(step(fresh, 61))
    session.rewind!(33)
    for (const rows of step(session, 34).flat()) expect(rows).toHaveLength(12) // without a prompt that ended
  })

  test('a second prompt competes with what the first left', async () => {
    const session = await opened(make)
    const before = step(session, 61)
    await session.retain!(lastChunk(reader(75), randomAttention(75, 1, 4)))
    const after = step(session, 76)
    for (const [layer, rows] of after.entries()) {
      for (const kvHead of [0, 1]) {
        const old = rows[kvHead].filter((row) => row < 61)
        expect(old.filter((row) => !before[layer][kvHead].includes(row))).toEqual([])
        expect(rows[kvHead]).toHaveLength(12)
      }
    }
  })

  test('evicted rows are let go', async () => {
    const session = openSession(make(heldTokens))
    await session.retain!(lastChunk(reader(60, [{ start: 0, end: 50 }]), randomAttention(60, 1)))
    for (const rows of step(session, 61).flat()) expect(rows).toEqual(range(50, 61))
  })

  test('it counts what it reads and holds', async () => {
    const session = await opened(make)
    for (const numTokens of [61, 62]) step(session, numTokens)
    expect(session.counts!()).toEqual({
      steps: 2,
      attendedTokens: 2 * 4 * 12,
      pooledTokens: 0,
      indexBytes: heldSets * 12 * 4,
      heldTokens: 4 * 12,
    })
  })

  test('a prompt that fits is held whole', async () => {
    const session = await opened(make, 5)
    expect(step(session, 6)[1][0]).toEqual(range(0, 6))
  })
}
