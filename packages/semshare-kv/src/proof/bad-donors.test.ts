// Donors that are bad, lost or late, on an engine of a tiny model with random weights.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DonorKv, DonorStore, KvFormat } from '@kvasir/core'
import { memoryDonors } from '@kvasir/core/testing'
import { fileDonors } from '@kvasir/tier'
import { describe, expect, test } from 'vitest'
import type { DonorShelf } from '../library/donor-library.ts'
import {
  document,
  expectFullPrefill,
  expectNothingLeaks,
  type RandomWorld,
  randomWorld,
  shifted,
  teach,
  tokensOf,
} from '../testing/random-world.ts'
import { scope } from '../testing/world.ts'

describe('a donor of another kind is not lent', () => {
  const layerOf = ({ shape }: KvFormat, more: object): KvFormat['shape'] => {
    return { layers: shape.layers.map((layer) => ({ ...layer, ...more })) }
  }
  test.each<[string, (format: KvFormat) => Partial<KvFormat>, RegExp]>([
    ['model or tokenizer', () => ({ model: 'of other bytes' }), /model: "of other bytes"/],
    ['dtype', () => ({ type: 'f32' }), /type: "f32", not "f16"/],
    [
      'RoPE',
      (format) => ({ shape: layerOf(format, { rope: { ...format.shape.layers[0].rope, theta: 7 } }) }),
      /theta: 7/,
    ],
    ['shape', (format) => ({ shape: layerOf(format, { headDim: 8 }) }), /headDim: 8/],
  ])('%s', async (_, other, reason) => {
    const stored = memoryDonors()
    const put: DonorStore['put'] = (donor) =>
      stored.put({ ...donor, format: { ...donor.format, ...other(donor.format) } })
    await using found = await randomWorld({ ...stored, put: (donor) => stored.put(donor) })
    await teach(found)
    // Known to the library as what it is not, so that the engine alone can tell.
    await using world = await randomWorld({ ...stored }, (donor) => ({
      ...donor,
      format: { ...donor.format, ...other(donor.format) },
    }))
    await teach(world)
    await expectFullPrefill(world, reason)
    // Known as what it is.
    await using honest = await randomWorld({ ...memoryDonors(), put })
    const { format } = honest.model.profile
    const kv: DonorKv = { ...(await kvOf(found)), format: { ...(format as KvFormat), ...other(format as KvFormat) } }
    await honest.library.put(kv)
    await expectFullPrefill(honest, reason)
  })

  async function kvOf({ library, model }: RandomWorld): Promise<DonorKv> {
    const { donors } = await library.find({
      tokens: document,
      scope,
      format: model.profile.format as KvFormat,
      limit: 1,
    })
    return (await library.open(donors[0].id, scope)) as DonorKv
  }
})

describe('lengths that differ', () => {
  test('a donor shorter or longer than the prompt lends what they share', async () => {
    for (const [stored, target] of [
      [document.slice(0, 60), shifted],
      [Int32Array.of(...document, ...tokensOf(12, 20)), shifted],
      [document, Int32Array.of(4, 5, 6, ...document.slice(40, 80))],
    ]) {
      await using world = await randomWorld(memoryDonors())
      await teach(world, stored)
      await using sequence = world.open()
      await sequence.prefill(target)
      const shared = Math.min(stored.length, document.length, target.length - 3)
      const { borrowedTokens, accepted } = sequence.report().reuse!
      expect(accepted).toBe(true)
      // Of the random text behind, a token may be alike by chance.
      expect(borrowedTokens).toBeGreaterThanOrEqual(shared)
      expect(borrowedTokens).toBeLessThanOrEqual(shared + 1)
      await sequence.dispose()
      await expectNothingLeaks(world)
    }
  })

  test('an empty cover is a full prefill', async () => {
    await using world = await randomWorld(memoryDonors())
    await teach(world)
    await expectFullPrefill(world, /no stored prompt/, tokensOf(13, 110))
  })

  test('a donor that has fewer rows than its tokens said is not read', async () => {
    await using world = await randomWorld(memoryDonors(), (donor) => ({ ...donor, tokens: donor.tokens.slice(0, 40) }))
    await teach(world)
    await expectFullPrefill(world, /has 40 rows/)
  })
})

describe('a file that changes while it is being read', () => {
  type Hurt = (path: string) => void
  const flip =
    (where: number): Hurt =>
    (path) => {
      const bytes = readFileSync(path)
      bytes[Math.floor(where * (bytes.length - 1))] ^= 16
      writeFileSync(path, bytes)
    }
  test.each<[string, Hurt, number, RegExp]>([
    ['cut before it is opened', (path) => truncateSync(path, 500), -1, /damaged|gone/],
    ['flipped in its last layer after the first was read', flip(0.98), 0, /damaged/],
    ['cut after the first layer was read', (path) => truncateSync(path, 9000), 0, /damaged/],
    ['removed before it is opened', (path) => rmSync(path), -1, /gone/],
  ])('%s', async (_, hurt, after, reason) => {
    const folder = mkdtempSync(join(tmpdir(), 'donors-'))
    const store = await fileDonors({ folder, budgetBytes: 1 << 26, prefetchLayers: 0 })
    try {
      const hurtAll = () => {
        for (const name of readdirSync(folder)) hurt(join(folder, name))
      }
      const change = (donor: DonorKv): DonorKv => ({
        ...donor,
        id: donor.id,
        scope: donor.scope,
        tokens: donor.tokens,
        format: donor.format,
        async layer(layer, signal) {
          const bytes = await donor.layer(layer, signal)
          if (layer === after) hurtAll()
          return bytes
        },
        close: () => donor.close(),
      })
      await using world = await randomWorld(store, change)
      await teach(world)
      if (after < 0) hurtAll()
      await expectFullPrefill(world, reason)
      expect(store.counts().donors).toBeLessThanOrEqual(1)
      expect(store.counts().damaged + store.counts().misses).toBeGreaterThanOrEqual(1)
    } finally {
      await store.dispose()
      rmSync(folder, { recursive: true })
    }
  })

  test('one that is evicted between lookup and opening is gone, one that is open stays good', async () => {
    for (const when of ['before', 'after'] as const) {
      const stored = memoryDonors()
      const gone = new Set<string>()
      const shelf: DonorShelf = {
        ...stored,
        open: async (id, asker) => {
          if (when === 'before') gone.add(id)
          const donor = gone.has(id) ? null : await stored.open(id, asker)
          gone.add(id)
          return donor
        },
      }
      await using world = await randomWorld(shelf)
      await teach(world)
      await using sequence = world.open()
      await sequence.prefill(shifted)
      expect(sequence.report().reuse?.accepted).toBe(when === 'after')
      if (when === 'before') expect(world.library.counts()).toMatchObject({ donors: 0, missing: 1 })
    }
  })
})
