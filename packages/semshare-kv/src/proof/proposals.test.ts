// What hashes and the index say is a proposal: only equal tokens are borrowed, and asking costs little.
import type { DonorKv } from '@kvasir/core'
import { memoryDonors } from '@kvasir/core/testing'
import { createDonorIndex } from '@kvasir/lsh'
import { describe, expect, test } from 'vitest'
import { alignRuns } from '../align/align-runs.ts'
import { donorLibrary } from '../library/donor-library.ts'
import { semShareKv } from '../semshare-kv.ts'
import { document, easy, randomWorld, teach, tokensOf } from '../testing/random-world.ts'
import { scope } from '../testing/world.ts'

describe('hashes only propose', () => {
  test('with hashes of 8 bits nothing else is borrowed than tokens that are equal', () => {
    const target = Int32Array.of(
      ...tokensOf(1, 30),
      ...document.slice(50),
      ...tokensOf(2, 30),
      ...document.slice(0, 50),
    )
    const others = Array.from({ length: 8 }, (_, at) => ({ id: `other-${at}`, tokens: tokensOf(3 + at, 200) }))
    const donors = [...others, { id: 'document', tokens: document }]
    const gramHashes = (tokens: Int32Array, gram: number) =>
      Uint32Array.from({ length: Math.max(0, tokens.length - gram + 1) }, (_, at) => tokens[at] & 255)
    const pieces = alignRuns(target, donors, { minRunTokens: 8, gramHashes })
    for (const { start, end, donor, donorStart } of pieces) {
      const { tokens } = donors.find(({ id }) => id === donor)!
      expect([...target.slice(start, end)]).toEqual([...tokens.slice(donorStart, donorStart + end - start)])
    }
    expect(pieces.reduce((sum, { start, end }) => sum + end - start, 0)).toBeGreaterThanOrEqual(95)
  })

  test('an index that names the wrong donors costs nothing but a look', async () => {
    const index = { insert() {}, remove: () => true, query: () => ids.map((id) => ({ id, containment: 1 })) as never }
    const ids: string[] = []
    const stored = memoryDonors()
    await using world = await randomWorld(stored)
    const library = await donorLibrary({ store: stored, index })
    await teach(world, tokensOf(12, 100))
    for (const id of stored.ids()) ids.push(id)
    for (const id of ids) await library.put((await stored.open(id, scope)) as DonorKv)
    const policy = semShareKv({ donors: library, ...easy })
    const session = policy.open({ id: 's', profile: world.model.profile, scope })
    const plan = await session.reuse!({ tokens: document, pieces: Array.from(document, () => ' a') })
    expect(plan).toMatchObject({ kind: 'decline' })
  })

  test('a bucket of 100,000 donors is looked into in bounded time', () => {
    const index = createDonorIndex({ secret: new Uint8Array(32) })
    const common = document.slice(0, 40)
    for (let at = 0; at < 100_000; at++) {
      const tokens = new Int32Array(60)
      tokens.set(common)
      for (let i = 40; i < 60; i++) tokens[i] = (at * 31 + i * 7919 + (at >> 9)) % 50_000
      index.insert({ id: `d${at}`, scope, tokens })
    }
    expect(index.size(scope)).toBe(100_000)
    index.query(document, scope, { limit: 8 })
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 20; round++) {
      const startMs = performance.now()
      expect(index.query(document, scope, { limit: 8 }).length).toBeLessThanOrEqual(8)
      best = Math.min(best, performance.now() - startMs)
    }
    expect(best).toBeLessThan(2)
    index.insert({ id: 'whole', scope, tokens: document })
    expect(index.query(document, scope, { limit: 8 })[0]).toMatchObject({ id: 'whole' })
    index.dispose()
  }, 300_000)
})
