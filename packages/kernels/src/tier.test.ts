import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvasirError, OptionError, runsOfIndices } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { TierError } from './errors.ts'
import { TierPlan } from './reference/tier-plan.ts'
import { aroundAborted, decodeOnce, liveOnce, prefillOnce, tierCase, writeRows } from './tier-cases.ts'
import type { TierCounts, TierOptions } from './tier-options.ts'

const { shape, contextTokens, capacityPages } = tierCase
const folder = mkdtempSync(join(tmpdir(), 'kvasir-tier-'))
let files = 0

afterAll(() => rmSync(folder, { recursive: true }))

function fileLower(options: { direct?: boolean; ioUring?: boolean } = {}) {
  return { kind: 'file' as const, path: join(folder, `rows-${files++}`), ...options }
}

// Rows that a GPU reads by itself are tiered-gpu.test.ts's.
const host = { kind: 'host' as const, pinned: false }
const variants: readonly (readonly [string, () => TierOptions])[] = [
  ['host rows', () => ({ lower: host, hotBytes: 12_000 })],
  ['host rows, few of them', () => ({ lower: host, hotBytes: 3_000 })],
  ['host blocks', () => ({ lower: host, hotBytes: 20_000, unit: 'block' })],
  ['host rows fetched ahead', () => ({ lower: host, hotBytes: 12_000, prefetch: true })],
  ['host q8', () => ({ lower: host, hotBytes: 12_000, lowerType: 'q8' })],
  ['file', () => ({ lower: fileLower(), hotBytes: 20_000 })],
  ['file, few blocks', () => ({ lower: fileLower(), hotBytes: 6_000 })],
  ['file, nothing fetched ahead', () => ({ lower: fileLower(), hotBytes: 20_000, prefetch: false })],
  ['file, direct', () => ({ lower: fileLower({ direct: true }), hotBytes: 20_000 })],
  ['file, direct, by threads', () => ({ lower: fileLower({ direct: true, ioUring: false }), hotBytes: 20_000 })],
  ['file q8', () => ({ lower: fileLower(), hotBytes: 20_000, lowerType: 'q8' })],
]

const backends = availableBackends().filter(({ missing }) => missing === undefined)

describe.each(backends.map(({ backend }) => backend))('%s', (backend) => {
  const loading = loadKernels({ backend, numThreads: 2 })
  afterAll(async () => (await loading).dispose())

  // The reference reads the file for every row.
  const some = variants.filter(([name]) => backend !== 'reference' || !name.startsWith('file,'))

  test.each(some)('%s: a sequence has the bits of an arena without a tier', { timeout: 60_000 }, async (_, tierOf) => {
    const kernels = await loading
    const tier = tierOf()
    const tiered = await liveOnce(kernels, kernels.createArena({ ...shape, capacityPages, tier }), seededRandom(3))
    const plain = await liveOnce(kernels, kernels.createArena({ ...shape, capacityPages }), seededRandom(3))
    tiered.outputs.forEach((values, i) => {
      const what = `output ${i}`
      // Near ties a selector may choose other rows.
      const mostNmse = isChosen(i) ? 0.05 : 1e-3
      if (tier.lowerType === 'q8') expect(nmse(values, plain.outputs[i]!), what).toBeLessThan(mostNmse)
      else assertSameBits(values, plain.outputs[i]!, what)
    })
    const counts = tiered.arena.counts()!
    expect(counts.hotBytes).toBeLessThanOrEqual(tier.hotBytes)
    expect(counts.movedBytes).toBeGreaterThan(0)
    expect(tier.hotBytes > 10_000 ? counts.hits : counts.overflows).toBeGreaterThan(0)
    expect(plain.arena.counts()).toBeNull()
  })

  test('q8 rows are the same in prefill and decode, hot or not', async () => {
    const kernels = await loading
    const options = { lower: host, lowerType: 'q8' as const }
    const few = kernels.createArena({ ...shape, capacityPages, tier: { ...options, hotBytes: 3_000 } })
    const many = kernels.createArena({ ...shape, capacityPages, tier: { ...options, hotBytes: 400_000 } })
    const [a, b] = [await liveOnce(kernels, few, seededRandom(4)), await liveOnce(kernels, many, seededRandom(4))]
    a.outputs.forEach((values, i) => {
      assertSameBits(values, b.outputs[i]!, `output ${i}`)
    })
  })

  test('a copied page keeps its rows when the first one changes', async () => {
    const kernels = await loading
    for (const lower of [host, fileLower()]) {
      const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower, hotBytes: 60_000 } })
      await writeRows(kernels, arena, 0, [0, 1, 2, 3, 4], 1)
      arena.copyPage(0, 5)
      await writeRows(kernels, arena, 0, [2], 2)
      const read = (page: number) => [...arena.readRows('values', 0, 1, Int32Array.of(page), 1, 4)]
      const rows = (...values: number[]) => values.flatMap((value) => Array(shape.headDim).fill(value))
      expect(read(5)).toEqual(rows(1, 1, 1))
      expect(read(0)).toEqual(rows(1, 2, 1))
      arena.dispose()
    }
  })

  test('a damaged file is told by an error that names it, never by wrong rows', async () => {
    const kernels = await loading
    const damages: readonly (readonly [string, (path: string) => Promise<void>])[] = [
      ['deleted', unlink],
      ['cut off', (path) => truncate(path, 100)],
      [
        'checksum',
        async (path) =>
          writeFile(
            path,
            (await readFile(path)).map((byte) => byte ^ 4),
            { flag: 'r+' },
          ),
      ],
    ]
    for (const [word, damage] of damages) {
      const lower = fileLower()
      const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower, hotBytes: 12_000 } })
      await prefillOnce(kernels, arena, seededRandom(1), 0, contextTokens)
      await damage(lower.path)
      const attend = decodeOnce(kernels, arena, seededRandom(1), contextTokens, [3, 40])
      const error = await attend.catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(TierError)
      expect(error).toBeInstanceOf(KvasirError)
      expect((error as TierError).message).toContain(lower.path)
      expect((error as TierError).message).toContain(word)
      expect(() => arena.readRows('keys', 0, 0, Int32Array.of(0), 0, 16)).toThrow(TierError)
      arena.dispose()
    }
  })

  test('an arena takes its file with it', async () => {
    const kernels = await loading
    const lower = fileLower()
    const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower, hotBytes: 60_000 } })
    expect(readdirSync(folder)).toContain(lower.path.slice(folder.length + 1))
    const second = () => kernels.createArena({ ...shape, capacityPages, tier: { lower, hotBytes: 60_000 } })
    expect(second).toThrow(TierError)
    arena.dispose()
    expect(readdirSync(folder)).not.toContain(lower.path.slice(folder.length + 1))
  })

  test('an aborted run leaves an arena that works on', async () => {
    const kernels = await loading
    const lower = fileLower()
    const arena = kernels.createArena({ ...shape, capacityPages, tier: { lower, hotBytes: 60_000 } })
    const [before, after] = await aroundAborted(kernels, arena, 20)
    assertSameBits(after, before, 'afterwards')
    for (let i = 0; i < 20; i++) {
      const signal = AbortSignal.abort()
      await expect(decodeOnce(kernels, arena, seededRandom(2), contextTokens, [1, 30, 60], signal)).rejects.toThrow()
    }
    const again = await decodeOnce(kernels, arena, seededRandom(2), contextTokens, [1, 30, 60])
    assertSameBits(again, before, 'after runs that never began')
    arena.dispose()
  })

  test('wrong options are refused', async () => {
    const kernels = await loading
    const create = (tier: unknown, type: 'f16' | 'f32' = 'f16') => {
      return () => kernels.createArena({ ...shape, capacityPages, type, tier: tier as TierOptions })
    }
    expect(create({ lower: host, hotBytes: 1e6 }, 'f32')).toThrow("'f16' for an arena with a tier")
    expect(create({ lower: host, hotBytes: 10 })).toThrow(TierError)
    expect(create({ lower: host, hotbytes: 1e6 })).toThrow('hotBytes')
    expect(create({ lower: host, hotBytes: Number.NaN })).toThrow(OptionError)
    expect(create({ lower: { kind: 'tape' }, hotBytes: 1e6 })).toThrow('one of host, file')
    expect(create({ lower: { kind: 'host', path: 'x' }, hotBytes: 1e6 })).toThrow(OptionError)
    expect(create({ lower: { kind: 'file', path: '' }, hotBytes: 1e6 })).toThrow('path')
    expect(create({ lower: { kind: 'file', path: 'x', ioThreads: 0 }, hotBytes: 1e6 })).toThrow('ioThreads')
    expect(create({ lower: { kind: 'file', path: 'x', ioUring: 1 }, hotBytes: 1e6 })).toThrow('true or false')
    expect(create({ lower: { kind: 'file', path: 'x' }, hotBytes: 1e6, unit: 'row' })).toThrow("'block' for a file")
    expect(create({ lower: host, hotBytes: 1e6, onMiss: 'guess' })).toThrow('onMiss')
    expect(create({ lower: host, hotBytes: 1e6, prefetch: 1 })).toThrow('prefetch')
    expect(create({ lower: { kind: 'file', path: join(folder, 'none', 'x') }, hotBytes: 1e6 })).toThrow(TierError)
  })
})

const compiled = backends.flatMap(({ backend }) => (backend === 'reference' ? [] : [backend]))

test.each(compiled)('slots of %s hold and move the rows that the plan says', { timeout: 120_000 }, async (backend) => {
  const kernels = await loadKernels({ backend, numThreads: 1 })
  // Emulation is slow.
  for (let seed = 0; seed < (backend === 'cuda' ? 4 : 30); seed++) {
    const random = seededRandom(seed)
    const unit = random.integer(2) ? ('row' as const) : ('block' as const)
    const perLayer = unit === 'row' ? 1_100 + random.integer(20_000) : 1_200 + random.integer(40_000)
    const lower = unit === 'block' && random.integer(2) ? fileLower() : host
    const tier: TierOptions = { lower, hotBytes: 2 * perLayer, unit, prefetch: false }
    const arena = kernels.createArena({ ...shape, capacityPages, tier })
    const plan = new TierPlan({ ...shape, tier: arena.tier! })
    await prefillOnce(kernels, arena, random, 0, 70)
    for (let layer = 0; layer < shape.numLayers; layer++) plan.write(layer, Array(70).keys())
    for (let context = 71; context < 90; context++) {
      const indices = Array.from({ length: context }, (_, i) => i).filter(() => random.uniform() < 0.25)
      const wanted = [...new Set([...indices, context - 1])]
      await decodeOnce(kernels, arena, random, context, wanted)
      const { rowStarts, runs } = runsOfIndices([wanted, wanted])
      for (let layer = 0; layer < shape.numLayers; layer++) {
        plan.write(layer, [context - 1])
        const listed = Array.from({ length: runs.length / 3 }, (_, at) => ({
          page: runs[3 * at]!,
          row: runs[3 * at + 1]!,
          count: runs[3 * at + 2]!,
          kvHead: at < rowStarts[1]! ? 0 : 1,
        }))
        plan.read(layer, [listed])
      }
      const moved = ({ hits, misses, overflows, hotBytes }: TierCounts) => ({ hits, misses, overflows, hotBytes })
      const [native, planned] = [arena.counts()!, plan.counts()]
      expect(moved(native), `seed ${seed}, ${context} tokens`).toEqual(moved(planned))
      // Beside the slots a file brings pages up whole.
      if (lower === host || planned.overflows === 0) expect(native.movedRows).toBe(planned.movedRows)
      if (lower === host || planned.overflows === 0) expect(native.movedBytes).toBe(planned.movedBytes)
      if (lower === host) expect(native.lowerBytes).toBe(planned.lowerBytes)
    }
    arena.dispose()
  }
  await kernels.dispose()
})

/** Whether an output of liveOnce hangs on a selector's choice. */
function isChosen(output: number): boolean {
  const firstStep = 18
  return output >= firstStep && output < firstStep + 12 && (output - firstStep) % 4 >= 2
}

function nmse(got: Float32Array, want: Float32Array): number {
  let [error, size] = [0, 0]
  want.forEach((value, i) => {
    error += (got[i]! - value) ** 2
    size += value ** 2
  })
  return error / size
}
