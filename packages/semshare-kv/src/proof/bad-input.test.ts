// Donors that are bad, lost or late, on an engine of a tiny model with random weights.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DonorKv, DonorStore, KvFormat, Scope } from '@kvasir/core'
import { assertSameBits, memoryDonors, seededRandom } from '@kvasir/core/testing'
import { type LlamaModel, loadLlama, type Sequence } from '@kvasir/llama'
import { createDonorIndex } from '@kvasir/lsh'
import { fileDonors } from '@kvasir/tier'
import { describe, expect, test } from 'vitest'
import { alignRuns } from '../align/align-runs.ts'
import { type DonorLibrary, type DonorShelf, donorLibrary } from '../library/donor-library.ts'
import { type SemShareKvOptions, semShareKv } from '../semshare-kv.ts'

const scope: Scope = { tenant: 't', group: 'g', model: 'm', layout: 'l', policy: 'p' }
const fixture = fileURLToPath(new URL('../../../llama/test-fixtures/gguf/llama-Q4_1.gguf', import.meta.url))
/** Random weights deviate more than any trained ones. */
const easy = {
  minPromptTokens: 8,
  minDonorTokens: 8,
  minSaving: -1,
  maxDeviation: 1e6,
  raiseDeviation: 1e6,
  auditShare: 0,
} as const
const contextTokens = 128
const kvCapacityTokens = 4 * contextTokens

const random = seededRandom(11)
const tokensOf = (count: number) => Int32Array.from({ length: count }, () => random.integer(512))
const document = tokensOf(100)
const shifted = Int32Array.of(7, 8, 9, ...document)

interface World extends AsyncDisposable {
  readonly model: LlamaModel
  readonly library: DonorLibrary
  readonly openDonors: () => number
  open(options?: Partial<SemShareKvOptions>): Sequence
  full(tokens: Int32Array): Promise<Float32Array>
}

/** An engine whose donors pass through `change` when they are opened. */
async function openWorld(shelf: DonorShelf, change: (donor: DonorKv) => DonorKv = (donor) => donor): Promise<World> {
  const open = new Set<DonorKv>()
  const watched: DonorStore = {
    put: (donor, signal) => library.put(donor, signal),
    async open(id, asker, signal) {
      const donor = await library.open(id, asker, signal)
      if (donor === null) return null
      const changed = change(donor)
      const lent: DonorKv = {
        ...changed,
        id: changed.id,
        scope: changed.scope,
        tokens: changed.tokens,
        format: changed.format,
        layer: (layer, signal) => changed.layer(layer, signal),
        close() {
          open.delete(lent)
          donor.close()
        },
      }
      open.add(lent)
      return lent
    },
  }
  const library = await donorLibrary({ store: shelf, index: createDonorIndex({ secret: new Uint8Array(32) }) })
  const model = await loadLlama({ model: fixture, donors: watched, kvCapacityTokens, contextTokens })
  return {
    model,
    library,
    openDonors: () => open.size,
    open: (options = {}) =>
      model.createSequence({ policy: semShareKv({ donors: library, ...easy, ...options }), scope }),
    async full(tokens) {
      await using sequence = model.createSequence()
      return await sequence.prefill(tokens)
    },
    [Symbol.asyncDispose]: () => model.dispose(),
  }
}

async function teach({ open }: World, tokens = document): Promise<void> {
  await using sequence = open()
  await sequence.prefill(tokens)
  expect(await sequence.publish()).not.toBeNull()
}

/** Every donor is closed, and every page is free or cached: all of the memory can be filled. */
async function expectNothingLeaks(world: World): Promise<void> {
  expect(world.openDonors()).toBe(0)
  const filling = Array.from({ length: kvCapacityTokens / contextTokens }, () => world.model.createSequence())
  for (const [at, sequence] of filling.entries()) {
    await sequence.prefill(Int32Array.from({ length: contextTokens }, (_, i) => (i * 31 + at) % 512))
  }
  for (const sequence of filling) await sequence.dispose()
}

async function expectFullPrefill(world: World, reason: RegExp, tokens = shifted): Promise<void> {
  await using sequence = world.open()
  const logits = await sequence.prefill(tokens)
  assertSameBits(logits, await world.full(tokens))
  const { reuse, reusedTokens } = sequence.report()
  expect(reuse).toMatchObject({ accepted: false, borrowedTokens: 0, reason: expect.stringMatching(reason) })
  expect(reuse?.recomputedShare).toBeGreaterThanOrEqual(1)
  expect(reusedTokens).toBe(0)
  await sequence.dispose()
  await expectNothingLeaks(world)
}

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
    await using found = await openWorld({ ...stored, put: (donor) => stored.put(donor) })
    await teach(found)
    // Known to the library as what it is not, so that the engine alone can tell.
    await using world = await openWorld({ ...stored }, (donor) => ({
      ...donor,
      format: { ...donor.format, ...other(donor.format) },
    }))
    await teach(world)
    await expectFullPrefill(world, reason)
    // Known as what it is.
    await using honest = await openWorld({ ...memoryDonors(), put })
    const { format } = honest.model.profile
    const kv: DonorKv = { ...(await kvOf(found)), format: { ...(format as KvFormat), ...other(format as KvFormat) } }
    await honest.library.put(kv)
    await expectFullPrefill(honest, reason)
  })

  async function kvOf({ library, model }: World): Promise<DonorKv> {
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
      [Int32Array.of(...document, ...tokensOf(20)), shifted],
      [document, Int32Array.of(4, 5, 6, ...document.slice(40, 80))],
    ]) {
      await using world = await openWorld(memoryDonors())
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
    await using world = await openWorld(memoryDonors())
    await teach(world)
    await expectFullPrefill(world, /no stored prompt/, tokensOf(110))
  })

  test('a donor that has fewer rows than its tokens said is not read', async () => {
    await using world = await openWorld(memoryDonors(), (donor) => ({ ...donor, tokens: donor.tokens.slice(0, 40) }))
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
      await using world = await openWorld(store, change)
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
      await using world = await openWorld(shelf)
      await teach(world)
      await using sequence = world.open()
      await sequence.prefill(shifted)
      expect(sequence.report().reuse?.accepted).toBe(when === 'after')
      if (when === 'before') expect(world.library.counts()).toMatchObject({ donors: 0, missing: 1 })
    }
  })
})

describe('hashes only propose', () => {
  test('with hashes of 8 bits nothing else is borrowed than tokens that are equal', () => {
    const target = Int32Array.of(...tokensOf(30), ...document.slice(50), ...tokensOf(30), ...document.slice(0, 50))
    const others = Array.from({ length: 8 }, (_, at) => ({ id: `other-${at}`, tokens: tokensOf(200) }))
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
    await using world = await openWorld(stored)
    const library = await donorLibrary({ store: stored, index })
    await teach(world, tokensOf(100))
    for (const id of stored.ids()) ids.push(id)
    const { format } = world.model.profile
    for (const id of ids) await library.put((await stored.open(id, scope)) as DonorKv)
    const policy = semShareKv({ donors: library, ...easy })
    const session = policy.open({ id: 's', profile: world.model.profile, scope })
    expect(format).toBeDefined()
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
  }, 60_000)
})

test('two prompts on one donor at once have the bits that each has alone', async () => {
  await using world = await openWorld(memoryDonors())
  await teach(world)
  const prompts = [shifted, Int32Array.of(1, 2, ...document.slice(30))]
  const pair = prompts.map(() => world.open())
  const together = await world.model.prefill(prompts.map((tokens, at) => pair[at].request(tokens)))
  for (const one of pair) {
    expect(one.report().reuse?.accepted).toBe(true)
    await one.dispose()
  }
  const apart = await Promise.all(
    prompts.map(async (tokens) => {
      await using sequence = world.open()
      return await sequence.prefill(tokens)
    }),
  )
  for (const at of prompts.keys()) assertSameBits(together[at], apart[at])
  await expectNothingLeaks(world)
})

describe('an abort', () => {
  const why = new Error('enough')

  /** Aborts at the n-th call of what the phase watches. */
  async function abortAt(phase: 'lookup' | 'load' | 'first layer' | 'second layer' | 'between layers'): Promise<void> {
    const abort = new AbortController()
    let armed = true
    const fire = (here: boolean) => {
      if (armed && here) abort.abort(why)
    }
    const stored = memoryDonors()
    const shelf: DonorShelf = {
      ...stored,
      open: (id, asker) => {
        fire(phase === 'load' && taught)
        return stored.open(id, asker)
      },
    }
    let taught = false
    await using world = await openWorld(shelf, (donor) => ({
      ...donor,
      async layer(layer, signal) {
        const bytes = await donor.layer(layer, signal)
        fire(phase === (layer === 0 ? 'first layer' : 'second layer'))
        return bytes
      },
    }))
    await teach(world)
    taught = true
    const own = semShareKv({ donors: world.library, ...easy })
    const policy = {
      ...own,
      open(context: Parameters<typeof own.open>[0]) {
        const session = own.open(context)
        return {
          ...session,
          reuse: async (prompt: Parameters<NonNullable<typeof session.reuse>>[0]) => {
            fire(phase === 'lookup')
            return await session.reuse!(prompt)
          },
          recompute: (report: Parameters<NonNullable<typeof session.recompute>>[0]) => {
            fire(phase === 'between layers')
            return session.recompute!(report)
          },
        }
      },
    }
    await using sequence = world.model.createSequence({ policy, scope })
    await expect(sequence.prefill(shifted, { signal: abort.signal })).rejects.toBe(why)
    expect(world.openDonors()).toBe(0)
    expect(sequence.numTokens).toBe(0)
    armed = false
    const logits = await sequence.prefill(shifted)
    // A hook that was aborted midway left a state that nobody knows: its session is not asked again.
    const borrows = phase !== 'lookup'
    expect(sequence.report().reuse?.accepted).toBe(borrows)
    await using fresh = world.open()
    assertSameBits(borrows ? await fresh.prefill(shifted) : await world.full(shifted), logits)
    await sequence.dispose()
    await fresh.dispose()
    await expectNothingLeaks(world)
  }

  test.each(['lookup', 'load', 'first layer', 'second layer', 'between layers'] as const)(
    'in the phase "%s" gives its reason, leaves nothing behind and lets the sequence begin anew',
    abortAt,
  )

  test('while rows are published stores nothing, and they can be published after', async () => {
    const abort = new AbortController()
    const stored = memoryDonors()
    const put: DonorStore['put'] = async (donor, signal) => {
      if (signal && !signal.aborted) abort.abort(why)
      signal?.throwIfAborted()
      return await stored.put(donor)
    }
    await using world = await openWorld({ ...stored, put })
    await using sequence = world.open()
    await sequence.prefill(document)
    await expect(sequence.publish({ signal: abort.signal })).rejects.toBe(why)
    expect(world.library.size).toBe(0)
    await sequence.decode(3)
    await sequence.dispose()
    await teach(world)
    await expectNothingLeaks(world)
  })

  test('while a prompt is audited leaves nothing, and the audit can be made after', async () => {
    await using world = await openWorld(memoryDonors())
    await teach(world)
    await using sequence = world.open({ auditFirstUse: true })
    await sequence.prefill(shifted)
    const abort = new AbortController()
    const audit = sequence.audit({ signal: abort.signal })
    abort.abort(why)
    await expect(audit).rejects.toBe(why)
    expect(await sequence.audit()).toMatchObject({ klNats: expect.any(Number) })
    await sequence.decode(3)
    await sequence.dispose()
    await expectNothingLeaks(world)
  })
})
