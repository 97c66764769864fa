import { runsOfIndices } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { BackendError, TierError } from './errors.ts'
import type { KvArena } from './kernels.ts'
import { TierPlan } from './reference/tier-plan.ts'
import { decodeOnce, liveOnce, prefillOnce, tierCase, writeRows } from './tier-cases.ts'
import type { TierCounts, TierOptions } from './tier-options.ts'

const { shape, contextTokens, capacityPages } = tierCase
const cuda = availableBackends().find(({ backend }) => backend === 'cuda')
const isHere = cuda !== undefined && cuda.missing === undefined
const host = { kind: 'host' as const }

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

  test('hot rows follow what is copied, adopted or written anew', { timeout: 60_000 }, async () => {
    const kernels = await loading
    const tier: TierOptions = { lower: host, hotBytes: 200_000 }
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
    expect(arenas[0]!.counts()!.hits).toBeGreaterThan(0)
    for (const arena of arenas) arena.dispose()
  })

  test('an aborted run leaves an arena that works on', { timeout: 60_000 }, async () => {
    const kernels = await loading
    const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower: host, hotBytes: 60_000 } })
    await prefillOnce(kernels, arena, seededRandom(1), 0, contextTokens)
    const whole = await decodeOnce(kernels, arena, seededRandom(2), contextTokens, [1, 30, 60])
    for (let i = 0; i < 8; i++) {
      const stop = new AbortController()
      const running = decodeOnce(kernels, arena, seededRandom(2), contextTokens, [2, i, 61], stop.signal)
      setImmediate(() => stop.abort())
      await running.catch(() => undefined)
    }
    assertSameBits(await decodeOnce(kernels, arena, seededRandom(2), contextTokens, [1, 30, 60]), whole, 'afterwards')
    arena.dispose()
  })

  test('options that a GPU does not take are refused, saying why', async () => {
    const kernels = await loading
    const create = (tier: Partial<TierOptions>) => () => {
      return kernels.createArena({ ...shape, capacityPages, tier: { lower: host, hotBytes: 1e6, ...tier } })
    }
    for (const [tier, why] of [
      [{ lower: { kind: 'file', path: '/no/such/folder/rows' } }, 'pinned memory'],
      [{ lowerType: 'q8' }, "'f16' on a GPU"],
      [{ prefetch: true }, 'never late'],
    ] as const) {
      expect(create(tier)).toThrow(BackendError)
      expect(create(tier)).toThrow(why)
    }
    expect(create({ hotBytes: 10 })).toThrow(TierError)
    const long = { ...shape, capacityPages: 2 ** 27 - 1, tier: { lower: host, hotBytes: 1e6 } }
    expect(() => kernels.createArena(long)).toThrow(TierError)
  })
})
