import { DisposedError, OptionError, ShapeError } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { KernelError } from './errors.ts'
import type { HashPlanesOptions } from './hashing.ts'

const backends = availableBackends().filter(({ missing }) => missing === undefined)
const isas = availableBackends().find(({ backend }) => backend === 'cpu')?.isas ?? []

const drawBytes = (random: ReturnType<typeof seededRandom>, length: number, levels: number) =>
  Uint8Array.from({ length }, () => random.integer(levels))

describe.each(isas)('%s', (isa) => {
  const cpu = loadKernels({ backend: 'cpu', isa, numThreads: 2 })
  const plain = loadKernels({ backend: 'reference' })
  afterAll(async () => {
    await (await cpu).dispose()
    await (await plain).dispose()
  })

  test.each(['signs', 'floors'])(
    '%s are those of the plain formula wherever rounding cannot decide',
    async (family) => {
      for (const [dim, numHashes, rows] of [
        [576, 128, 17],
        [5, 64, 3],
        [1, 64, 1],
        [48, 320, 0],
      ] as const) {
        const random = seededRandom(dim)
        const [planes, x] = [random.normals(numHashes * dim), random.normals(rows * dim)]
        const offsets = Float32Array.from({ length: numHashes }, () => random.integer(100) / 50)
        const width = 2
        const cells = family === 'floors' ? { offsets, width } : {}
        const options: HashPlanesOptions = { planes, numHashes, dim, ...cells }
        const [own, other] = [(await cpu).createHashPlanes(options), (await plain).createHashPlanes(options)]
        const [codes, wanted] = [await own.codes(x), await other.codes(x)]
        const [products, exact] = [await own.products(x), await other.products(x)]
        expect(codes).toHaveLength(rows * own.codeBytes)
        const norm = (values: Float32Array, row: number) => Math.hypot(...values.subarray(row * dim, (row + 1) * dim))
        let compared = 0
        for (let i = 0; i < rows * numHashes; i++) {
          const [h, scale] = [i % numHashes, norm(x, Math.floor(i / numHashes)) * norm(planes, i % numHashes)]
          expect(Math.abs(products[i]! - exact[i]!)).toBeLessThanOrEqual(1e-6 * scale)
          const cell = (exact[i]! + offsets[h]!) / width
          const margin = family === 'signs' ? Math.abs(exact[i]!) : width * Math.abs(cell - Math.round(cell))
          if (margin <= 1e-4 * scale) continue
          compared++
          if (family === 'floors') expect(codes[i]).toBe(wanted[i])
          else expect((codes[i >> 3]! >> (i & 7)) & 1).toBe((wanted[i >> 3]! >> (i & 7)) & 1)
        }
        expect(compared).toBeGreaterThanOrEqual(0.9 * rows * numHashes)
      }
    },
  )

  test('the nearest codes are exactly those of the plain search, ties to the lower index', async () => {
    const sizes = fc.record({
      seed: fc.nat(1e6),
      rows: fc.nat(60),
      words: fc.integer({ min: 1, max: 6 }),
      queries: fc.nat(9),
      count: fc.integer({ min: 1, max: 40 }),
      levels: fc.constantFrom(2, 3, 256),
      distance: fc.constantFrom('hamming' as const, 'l1' as const),
      maxDistance: fc.option(fc.nat(40), { nil: undefined }),
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ seed, rows, words, queries, count, levels, distance, maxDistance }) => {
        const random = seededRandom(seed)
        const codeBytes = 8 * words
        const [codes, asked] = [
          drawBytes(random, rows * codeBytes, levels),
          drawBytes(random, queries * codeBytes, levels),
        ]
        const answers = [await cpu, await plain].map(async (kernels) => {
          const table = kernels.createCodeTable({ codes, codeBytes, distance })
          const found = await table.nearest(asked, { count, ...(maxDistance === undefined ? {} : { maxDistance }) })
          table.dispose()
          return found
        })
        expect(await answers[0]).toEqual(await answers[1])
      }),
      { numRuns: 60 },
    )
  })

  test.each(['cosine', 'l2'] as const)('candidates are ranked by %s as by the plain formula', async (metric) => {
    for (let seed = 0; seed < 20; seed++) {
      const random = seededRandom(seed)
      const [dim, numQueries, numRows, count] = [1 + random.integer(70), random.integer(10), 12, random.integer(9)]
      const rows = random.normals(numRows * dim)
      rows.copyWithin(dim, 0, dim)
      const candidates = Int32Array.from({ length: numQueries * count }, () => random.integer(numRows + 1) - 1)
      const options = { metric, dim, queries: random.normals(numQueries * dim), rows, candidates }
      const threshold = metric === 'cosine' ? 0.05 : 2 * dim
      for (const limits of [{}, { threshold }]) {
        const got = await (await cpu).rankRows({ ...options, ...limits })
        const want = await (await plain).rankRows({ ...options, ...limits })
        expect(got.indices).toEqual(want.indices)
        got.values.forEach((value, i) => {
          if (want.indices[i]! < 0) expect(value).toBeNaN()
          else expect(Math.abs(value - want.values[i]!)).toBeLessThan(1e-5 * Math.max(1, want.values[i]!))
        })
      }
    }
  })
})

describe.each(backends)('$backend', ({ backend }) => {
  const loaded = loadKernels({ backend, numThreads: 1 })
  afterAll(async () => (await loaded).dispose())

  const planesOf = (options: Partial<HashPlanesOptions> = {}): HashPlanesOptions => ({
    planes: new Float32Array(128).fill(1),
    numHashes: 64,
    dim: 2,
    ...options,
  })

  test('what does not fit is refused by name', async () => {
    const kernels = await loaded
    const planes = (options: object) => () => kernels.createHashPlanes(planesOf(options))
    expect(planes({ numHashes: 65 })).toThrow(ShapeError)
    expect(planes({ numHashes: 128 })).toThrow(/planes: expected 256 values/)
    expect(planes({ width: 2 })).toThrow(/width: expected offsets/)
    expect(planes({ offsets: new Float32Array(64), width: 0 })).toThrow(OptionError)
    expect(planes({ widht: 2 })).toThrow('Did you mean width?')
    expect(planes({ planes: new Float32Array(new SharedArrayBuffer(512)) })).toThrow('not shared')
    const hashes = kernels.createHashPlanes(planesOf())
    await expect(hashes.codes(new Float32Array(3))).rejects.toThrow(ShapeError)

    const table = (options: object) => () =>
      kernels.createCodeTable({ codes: new Uint8Array(16), codeBytes: 8, ...options })
    expect(table({ codeBytes: 12 })).toThrow(ShapeError)
    expect(table({ codes: new Uint8Array(9) })).toThrow(/codes: expected whole rows of 8/)
    expect(table({ distance: 'cosine' })).toThrow(OptionError)
    const codes = table({})()
    await expect(codes.nearest(new Uint8Array(9))).rejects.toThrow(ShapeError)
    await expect(codes.nearest(new Uint8Array(8), { count: 0 })).rejects.toThrow(OptionError)
    await expect(codes.nearest(new Uint8Array(8), { limit: 3 } as never)).rejects.toThrow(OptionError)

    const vectors = new Float32Array(4)
    const rank = (options: object) =>
      kernels.rankRows({ dim: 2, queries: vectors, rows: vectors, candidates: Int32Array.of(0, 1), ...options })
    await expect(rank({ candidates: Int32Array.of(0, 2) })).rejects.toThrow(KernelError)
    await expect(rank({ candidates: Int32Array.of(0, 1, 0) })).rejects.toThrow(ShapeError)
    await expect(rank({ threshold: Number.NaN })).rejects.toThrow(OptionError)
    await expect(rank({ queries: new Float64Array(4) })).rejects.toThrow(OptionError)
    await expect(rank({ dim: 3 })).rejects.toThrow(ShapeError)
  })

  test('aborted calls reject with the reason, before they start and while they run', async () => {
    const kernels = await loaded
    const reason = new Error('enough')
    const table = kernels.createCodeTable({ codes: new Uint8Array(8 * 20_000), codeBytes: 8 })
    await expect(table.nearest(new Uint8Array(8), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const long = table.nearest(new Uint8Array(8 * 400_000), { count: 8, signal: controller.signal })
    const start = performance.now()
    setTimeout(() => controller.abort(reason), 5)
    await expect(long).rejects.toBe(reason)
    expect(performance.now() - start).toBeLessThan(500)
  })

  test('disposed objects are refused, and a search under way ends first', async () => {
    const kernels = await loaded
    const table = kernels.createCodeTable({ codes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), codeBytes: 8 })
    const found = table.nearest(new Uint8Array(8))
    table.dispose()
    expect(await found).toEqual({ indices: Int32Array.of(0), distances: Int32Array.of(1) })
    await expect(table.nearest(new Uint8Array(8))).rejects.toThrow(DisposedError)
    const planes = kernels.createHashPlanes(planesOf())
    planes.dispose()
    await expect(planes.codes(new Float32Array(2))).rejects.toThrow(DisposedError)
  })

  test('codes do not change with what is written to planes and offsets later', async () => {
    const kernels = await loaded
    const options = planesOf({ offsets: new Float32Array(64), width: 1 })
    const hashes = kernels.createHashPlanes(options)
    options.planes.fill(-5)
    options.offsets?.fill(100)
    expect(await hashes.codes(Float32Array.of(1, 2))).toEqual(new Uint8Array(64).fill(131))
  })
})
