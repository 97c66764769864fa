import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runsOfIndices } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { TierError } from './errors.ts'
import type { KvArena } from './kernels.ts'
import { TierPlan } from './reference/tier-plan.ts'
import { aroundAborted, decodeOnce, liveOnce, prefillOnce, tierCase, writeRows } from './tier-cases.ts'
import type { TierCounts, TierOptions } from './tier-options.ts'

const { shape, contextTokens, capacityPages } = tierCase
const cuda = availableBackends().find(({ backend }) => backend === 'cuda')
const isHere = cuda !== undefined && cuda.missing === undefined
const host = { kind: 'host' as const }
const folder = mkdtempSync(join(tmpdir(), 'kvasir-tier-gpu-'))

afterAll(() => rmSync(folder, { recursive: true }))

describe.skipIf(!isHere)('rows in pinned host memory, some of them on the device', () => {
  const loading = loadKernels({ backend: isHere ? 'cuda' : 'reference' })
  afterAll(async () => (await loading).dispose())

  const variants: readonly (readonly [string, TierOptions])[] = [
    ['rows', { lower: host, hotBytes: 12_000 }],
    ['few rows', { lower: host, hotBytes: 3_000 }],
    ['blocks', { lower: host, hotBytes: 20_000, unit: 'block' }],
    ['few blocks', { lower: host, hotBytes: 6_000, unit: 'block' }],
  ]

  test.each(variants)(
    '%s: a sequence has the bits of an arena without a tier',
    { timeout: 60_000 },
    async (_, tier) => {
      const kernels = await loading
      const live = (arena: KvArena) => liveOnce(kernels, arena, seededRandom(3))
      const tiered = await live(kernels.createArena({ ...shape, capacityPages, tier }))
      const plain = await live(kernels.createArena({ ...shape, capacityPages }))
      tiered.outputs.forEach((values, i) => {
        assertSameBits(values, plain.outputs[i]!, `output ${i}`)
      })
      const counts = tiered.arena.counts()!
      expect(counts.hotBytes).toBeLessThanOrEqual(tier.hotBytes)
      expect(counts.movedBytes).toBe(counts.movedRows * 2 * 2 * shape.headDim)
      // Where no step fits nothing comes up.
      expect(tier.hotBytes > 10_000 ? counts.hits : counts.movedRows).toBeGreaterThan(0)
      expect(counts.overflows).toBeGreaterThan(0)
      expect(tiered.arena.notes).toEqual([])
      expect(plain.arena.counts()).toBeNull()
      tiered.arena.dispose()
    },
  )

  test('what moves is the set difference that the plan says', { timeout: 120_000 }, async () => {
    const kernels = await loading
    for (let seed = 0; seed < 6; seed++) {
      const random = seededRandom(seed)
      const unit = seed % 2 === 0 ? ('row' as const) : ('block' as const)
      const perLayer = unit === 'row' ? 1_100 + random.integer(20_000) : 1_200 + random.integer(40_000)
      const tier: TierOptions = { lower: host, hotBytes: 2 * perLayer, unit }
      const arena = kernels.createArena({ ...shape, capacityPages, tier })
      const plan = new TierPlan({ ...shape, tier: arena.tier!, backend: 'cuda' })
      await prefillOnce(kernels, arena, random, 0, 70)
      expect(arena.counts()).toMatchObject({ hits: 0, misses: 0, movedRows: 0 })
      for (let context = 71; context < 85; context++) {
        const some = Array.from({ length: context }, (_, i) => i).filter(() => random.uniform() < 0.25)
        const wanted = [...new Set([...some, context - 1])]
        await decodeOnce(kernels, arena, random, context, wanted)
        const { rowStarts, runs } = runsOfIndices([wanted, wanted])
        const listed = Array.from({ length: runs.length / 3 }, (_, at) => ({
          page: runs[3 * at]!,
          row: runs[3 * at + 1]!,
          count: runs[3 * at + 2]!,
          kvHead: at < rowStarts[1]! ? 0 : 1,
        }))
        for (let layer = 0; layer < shape.numLayers; layer++) plan.read(layer, [listed])
        const moved = ({ hits, misses, overflows, hotBytes, movedRows, movedBytes }: TierCounts) => {
          return { hits, misses, overflows, hotBytes, movedRows, movedBytes }
        }
        expect(moved(arena.counts()!), `seed ${seed}, ${context} tokens`).toEqual(moved(plan.counts()))
      }
      arena.dispose()
    }
  })

  test('prefill stages two layers at most, and decode gives that memory back', { timeout: 60_000 }, async () => {
    const kernels = await loading
    const arena = kernels.createArena({
      ...shape,
      numLayers: 2,
      capacityPages,
      tier: { lower: host, hotBytes: 12_000 },
    })
    const random = seededRandom(1)
    for (const [start, end] of [
      [0, 40],
      [40, 41],
      [41, contextTokens],
    ] as const)
      await prefillOnce(kernels, arena, random, start, end)
    const layerBytes = Math.ceil(contextTokens / 16) * 16 * shape.numKvHeads * shape.headDim * 2 * 2
    const { stagingBytes, peakStagingBytes } = arena.counts()!
    expect(stagingBytes).toBeGreaterThan(0)
    expect(peakStagingBytes).toBeLessThanOrEqual(2 * 1.25 * layerBytes)
    for (let step = 0; step < 3; step++) await decodeOnce(kernels, arena, random, contextTokens + 1 + step, [4, 50])
    expect(arena.counts()).toMatchObject({ stagingBytes: 0, peakStagingBytes })
    arena.dispose()
  })

  const follows: readonly (readonly [string, TierOptions])[] = [
    ['pinned memory', { lower: host, hotBytes: 200_000 }],
    ['ordinary memory', { lower: { kind: 'host', pinned: false }, hotBytes: 200_000 }],
    ['ordinary memory, few rows', { lower: { kind: 'host', pinned: false }, hotBytes: 4_000 }],
    ['a file', { lower: { kind: 'file', path: join(folder, 'follows') }, hotBytes: 200_000 }],
    ['a file, few blocks', { lower: { kind: 'file', path: join(folder, 'follows few') }, hotBytes: 12_000 }],
  ]
  test.each(follows)(
    'hot rows follow what is copied, adopted or written anew: %s',
    { timeout: 60_000 },
    async (_, tier) => {
      const kernels = await loading
      const arenas = [
        kernels.createArena({ ...shape, capacityPages, tier }),
        kernels.createArena({ ...shape, capacityPages }),
      ]
      const lives = await Promise.all(
        arenas.map(async (arena) => {
          const outputs = await prefillOnce(kernels, arena, seededRandom(5), 0, contextTokens)
          const read = async (seed: number) => {
            outputs.push(await decodeOnce(kernels, arena, seededRandom(seed), contextTokens, [1, 7, 20, 33, 40, 70]))
          }
          await read(6)
          // Pages 0 and 5 hold the first 32 tokens.
          arena.copyPage(0, 5)
          await read(7)
          await writeRows(kernels, arena, 1, [1, 7, 83], 0.5)
          await read(8)
          const source = new Uint8Array(2 * 2 * 4 * shape.headDim * 2).map((_, i) => i % 60)
          const sourceRows = Int32Array.of(3, 0, 1, 2)
          await kernels.adoptRows({
            arena,
            layer: 0,
            source,
            sourceTokens: 4,
            sourceRows,
            slots: Int32Array.of(1, 7, 84, 85),
          })
          await read(9)
          return outputs
        }),
      )
      lives[0]!.forEach((values, i) => {
        assertSameBits(values, lives[1]![i]!, `output ${i}`)
      })
      const { misses, overflows } = arenas[0]!.counts()!
      expect(misses + overflows).toBeGreaterThan(0)
      for (const arena of arenas) arena.dispose()
    },
  )

  // Two sequences share a page: one reads the row of it that is hot, for the other one the rest is on its way.
  test('rows that were left out as they were late are there for a later step', { timeout: 60_000 }, async () => {
    const kernels = await loading
    const lower = { kind: 'file' as const, path: join(folder, 'late') }
    const tier: TierOptions = { lower, hotBytes: 200_000, onMiss: 'drop', prefetch: false }
    const arenas = [
      kernels.createArena({ ...shape, capacityPages, tier }),
      kernels.createArena({ ...shape, capacityPages }),
    ] as const
    const q = seededRandom(3).normals(2 * 4 * shape.headDim)
    const batch = {
      rowStarts: Int32Array.of(0, 1, 2),
      contextTokens: Int32Array.of(32, 32),
      pageStarts: Int32Array.of(0, 2, 4),
      pages: Int32Array.of(0, 5, 0, 5),
    }
    const read = async (arena: KvArena, ...lists: readonly (readonly number[])[]) => {
      const out = new Float32Array(q.length)
      const chosen = kernels.createRunLists(2, shape.numKvHeads, 4)
      for (const [s, rows] of lists.entries()) chosen.set(s, runsOfIndices([rows, rows]))
      const ops = [
        { kind: 'attendRuns' as const, arena, layer: 0, q, numHeads: 4, scale: 0.25, batch, lists: chosen, out },
      ]
      const program = kernels.createProgram(ops)
      await program.run({ tokens: 2, sequences: 2, selectors: ['given', 'given'] })
      return out
    }
    for (const arena of arenas) {
      await prefillOnce(kernels, arena, seededRandom(5), 0, contextTokens)
      arena.copyPage(5, 0)
      await writeRows(kernels, arena, 0, [3], 0.5)
    }
    const [tiered, plain] = arenas
    await read(tiered, [3], [0, 20, 21, 22, 23])
    expect(tiered.counts()!.dropped).toBe(2)
    const wanted = await read(plain, [0, 1, 2, 3], [3, 4, 5])
    for (let before = 0; before < tiered.counts()!.dropped; ) {
      before = tiered.counts()!.dropped
      const got = await read(tiered, [0, 1, 2, 3], [3, 4, 5])
      if (tiered.counts()!.dropped === before) assertSameBits(got, wanted, 'once nothing is late')
    }
    for (const arena of arenas) arena.dispose()
  })

  test('an aborted run leaves an arena that works on', { timeout: 60_000 }, async () => {
    const kernels = await loading
    const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower: host, hotBytes: 60_000 } })
    const [before, after] = await aroundAborted(kernels, arena, 8)
    assertSameBits(after, before, 'afterwards')
    arena.dispose()
  })

  test('too few bytes and too many rows are refused', async () => {
    const kernels = await loading
    for (const pinned of [true, false]) {
      const tier: TierOptions = { lower: { kind: 'host', pinned }, hotBytes: 10 }
      expect(() => kernels.createArena({ ...shape, capacityPages, tier })).toThrow(TierError)
    }
    const long = { ...shape, capacityPages: 2 ** 27 - 1, tier: { lower: host, hotBytes: 1e6 } }
    expect(() => kernels.createArena(long)).toThrow(TierError)
  })
})
