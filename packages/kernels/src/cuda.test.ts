import { type NativeSelector, OptionError } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { runOnce } from './case-data.ts'
import { BackendError, KernelError } from './errors.ts'
import type { Kernels, Program } from './kernels.ts'
import type { Op } from './ops.ts'

const cuda = availableBackends().find(({ backend }) => backend === 'cuda')
const isHere = cuda !== undefined && cuda.missing === undefined

describe('a GPU that is not there', () => {
  test('a library that does not load is named, with the reason', async () => {
    const loading = loadKernels({ backend: 'cuda', gpuLibrary: '/no/such/library.so' })
    await expect(loading).rejects.toThrow(BackendError)
    await expect(loading).rejects.toThrow('/no/such/library.so')
  })

  test('a library that is none of ours is refused', async () => {
    const loading = loadKernels({ backend: 'cuda', gpuLibrary: process.execPath })
    await expect(loading).rejects.toThrow(BackendError)
  })

  test('a named library alone does not make auto take the GPU', async () => {
    const kernels = await loadKernels({ backend: 'auto', gpuLibrary: '/no/such/library.so' })
    expect(kernels.backend).not.toBe('cuda')
    await kernels.dispose()
  })

  test.skipIf(isHere)('its absence has a reason and a remedy', () => {
    expect(cuda?.missing).toMatch(/Remedy|cannot be used|no GPU backend/)
  })
})

test.skipIf(!process.env.KVASIR_GPU_LIBRARY)('the library that tests are to run on is there', () => {
  expect(cuda?.missing).toBeUndefined()
})

describe.skipIf(!isHere)('buffers of programs on a GPU', () => {
  const loaded = loadKernels({ backend: isHere ? 'cuda' : 'reference' })
  afterAll(async () => (await loaded).dispose())

  const gather = (x: Float32Array, ids: Int32Array, out: Float32Array): Op => ({
    kind: 'gatherRows',
    x,
    ids,
    dim: 4,
    out,
    rows: 'outputs',
  })

  test('kernels name their backend', async () => {
    const kernels = await loaded
    expect([kernels.backend, kernels.isa]).toEqual(['cuda', cuda?.isas[0]])
  })

  test('a run reads what a buffer holds when it starts, however often that changes', async () => {
    const kernels = await loaded
    const [x, out] = [new Float32Array(32), new Float32Array(8)]
    const program = kernels.createProgram([gather(x, Int32Array.of(7, 2), out)])
    for (let round = 0; round < 4; round++) {
      if (round !== 2) x.set(Float32Array.from(x, (_, i) => 100 * round + i))
      await program.run({ tokens: 0, outputs: 2 })
      expect([...out]).toEqual([...x.subarray(28, 32), ...x.subarray(8, 12)])
    }
  })

  test('rows that a run does not write keep what the caller put there', async () => {
    const kernels = await loaded
    const [x, out] = [new Float32Array(32).map((_, i) => i), new Float32Array(16).fill(-1)]
    const program = kernels.createProgram([gather(x, Int32Array.of(1, 3, 5), out)])
    await program.run({ tokens: 0, outputs: 1 })
    expect([...out]).toEqual([4, 5, 6, 7, ...new Array(12).fill(-1)])
    out.fill(-2)
    await program.run({ tokens: 0, outputs: 2 })
    expect([...out]).toEqual([4, 5, 6, 7, 12, 13, 14, 15, ...new Array(8).fill(-2)])
  })

  test('what one op writes the next one reads, and the next program too', async () => {
    const kernels = await loaded
    const x = new Float32Array(16).map((_, i) => i)
    const [between, out, again] = [new Float32Array(16), new Float32Array(16), new Float32Array(16)]
    const turn = Int32Array.of(3, 2, 1, 0)
    await runOnce(kernels, [gather(x, turn, between), gather(between, turn, out)], { outputs: 4 })
    expect(out).toEqual(x)
    await runOnce(kernels, [gather(between, turn, again)], { outputs: 4 })
    expect(again).toEqual(x)
    between[0] = 99
    await runOnce(kernels, [gather(between, turn, again)], { outputs: 4 })
    expect(again[12]).toBe(99)
  })

  test('scratch buffers serve the ops and are not brought back', async () => {
    const kernels = await loaded
    const x = new Float32Array(16).map((_, i) => i)
    const [between, out] = [new Float32Array(16).fill(-1), new Float32Array(16)]
    const turn = Int32Array.of(1, 0, 3, 2)
    const ops = [gather(x, turn, between), gather(between, turn, out)]
    const program = kernels.createProgram(ops, { scratch: [between] })
    await program.run({ tokens: 0, outputs: 4 })
    expect(out).toEqual(x)
    expect(between).toEqual(new Float32Array(16).fill(-1))
    expect(() => kernels.createProgram(ops, { scratch: [new Float32Array(4)] })).toThrow(OptionError)
    expect(() => kernels.createProgram(ops, { results: [out] } as never)).toThrow(OptionError)
  })

  test('what a run leaves is not brought back, and the run that takes it up finds it', async () => {
    const kernels = await loaded
    const x = new Float32Array(16).map((_, i) => i)
    const [between, out] = [new Float32Array(16).fill(-1), new Float32Array(16)]
    const turn = Int32Array.of(1, 0, 3, 2)
    const [first, second] = [gather(x, turn, between), gather(between, turn, out)].map((op) =>
      kernels.createProgram([op]),
    )
    await first?.run({ tokens: 0, outputs: 4, leaves: [between] })
    expect(between).toEqual(new Float32Array(16).fill(-1))
    await second?.run({ tokens: 0, outputs: 4, takesUp: [between] })
    expect(out).toEqual(x)
    await second?.run({ tokens: 0, outputs: 4 })
    expect(out).toEqual(between)
    await expect(first?.run({ tokens: 0, outputs: 4, leaves: [out] })).rejects.toThrow('leaves[0]')
  })

  test('written buffers that overlap another in part are refused', async () => {
    const kernels = await loaded
    const x = new Float32Array(32)
    const ids = Int32Array.of(0)
    expect(() => kernels.createProgram([gather(x, ids, x.subarray(8))])).toThrow(KernelError)
    kernels.createProgram([gather(x, ids, new Float32Array(4)), gather(x.subarray(4), ids, new Float32Array(4))])
  })

  test('of rows written to one slot the last one stays', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 1, headDim: 16, capacityPages: 1, type: 'f32' })
    const keys = seededRandom(1).normals(4 * 16)
    const slots = Int32Array.of(3, 5, 3, 3)
    await runOnce(kernels, [{ kind: 'writeKv', arena, layer: 0, keys, values: keys, slots, rows: 4 }])
    const pages = Int32Array.of(0)
    expect(arena.readRows('keys', 0, 0, pages, 3, 4)).toEqual(keys.subarray(48))
    expect(arena.readRows('values', 0, 0, pages, 5, 6)).toEqual(keys.subarray(16, 32))
    expect(arena.readRows('keys', 0, 0, pages, 0, 1)).toEqual(new Float32Array(16))
  })

  test('rows that are not whole 16 bytes and more rows than there is memory are refused, saying so', async () => {
    const kernels = await loaded
    const shape = { numLayers: 1, numKvHeads: 1, capacityPages: 1 }
    expect(() => kernels.createArena({ ...shape, headDim: 12 })).toThrow('a multiple of 8 on a GPU')
    expect(() => kernels.createArena({ ...shape, headDim: 4096, capacityPages: 2 ** 27 - 1 })).toThrow(KernelError)
  })
})

describe.skipIf(!isHere)('runs that repeat on a GPU', () => {
  const loaded = loadKernels({ backend: isHere ? 'cuda' : 'reference' })
  afterAll(async () => (await loaded).dispose())

  const [numHeads, numKvHeads, headDim, numPages] = [4, 2, 16, 20]
  const counted = (kernels: Kernels) => kernels.gpuCounts()!

  /** A sequence that writes a row a step, and reads what `choose` says; its pages lie backwards. */
  async function decoder(kernels: Kernels, seed: number) {
    const random = seededRandom(seed)
    const arena = kernels.createArena({ numLayers: 1, numKvHeads, headDim, capacityPages: numPages, type: 'f32' })
    const [keys, values] = [new Float32Array(numKvHeads * headDim), new Float32Array(numKvHeads * headDim)]
    const [q, out] = [new Float32Array(numHeads * headDim), new Float32Array(numHeads * headDim)]
    const batch = {
      rowStarts: Int32Array.of(0, 1),
      contextTokens: Int32Array.of(0),
      pageStarts: Int32Array.of(0, 0),
      pages: Int32Array.from({ length: numPages }, (_, i) => numPages - 1 - i),
    }
    const slots = new Int32Array(1)
    const lists = kernels.createRunLists(1, numKvHeads)
    const fixed = { arena, layer: 0, q, numHeads, scale: 0.25, batch }
    const ops: Op[] = [
      { kind: 'writeKv', arena, layer: 0, keys, values, slots, rows: 'tokens' },
      { kind: 'selectRuns', ...fixed, windowTokens: 0, lists },
      { kind: 'attendRuns', ...fixed, lists, out },
    ]
    let numTokens = 0
    const step = async (program: Program, selector: NativeSelector | 'all' = 'all') => {
      const page = batch.pages[numTokens >> 4]!
      slots[0] = 16 * page + (numTokens & 15)
      for (const row of [keys, values, q]) row.set(random.normals(row.length))
      batch.contextTokens[0] = ++numTokens
      batch.pageStarts[1] = (numTokens + 15) >> 4
      await program.run({ tokens: 1, outputs: 0, sequences: 1, selectors: [selector] })
      return out.slice()
    }
    return { ops, step }
  }

  test('they are one graph, and give the bits of a program that has never run', async () => {
    const kernels = await loaded
    const [one, other] = [await decoder(kernels, 5), await decoder(kernels, 5)]
    const program = kernels.createProgram(one.ops)
    const before = counted(kernels)
    for (let step = 0; step < 300; step++) {
      const fresh = kernels.createProgram(other.ops)
      assertSameBits(await one.step(program), await other.step(fresh), `step ${step}`)
      fresh.dispose()
    }
    const after = counted(kernels)
    expect(after.runs - before.runs).toBe(600)
    // 300 tokens cross five bounds of 64 and four powers of two of pages; each is seen twice before it is a graph.
    expect(after.graphs - before.graphs).toBeGreaterThan(280)
    expect(after.graphs - before.graphs).toBeLessThan(300)
  })

  // Choices are made at every third step, by 20 of 60; a running query takes them to the host.
  test.each([
    ['on the host comes between launches as before', 'mean', 25, 40],
    ['on the device is part of the graph', 'current', 42, 60],
  ] as const)('a choice %s, whether graphs are known or not', async (_, query, least, most) => {
    const kernels = await loaded
    const [one, other] = [await decoder(kernels, 6), await decoder(kernels, 6)]
    const rule = { budgetTokens: 24, sinkTokens: 2, recentTokens: 4, query }
    const index = kernels.createSegmentIndex({ numLayers: 1, numKvHeads, headDim })
    const selectors = [0, 1].map(() => kernels.createSegmentSelector({ ...rule, index }))
    const program = kernels.createProgram(one.ops)
    const before = counted(kernels)
    for (let step = 0; step < 60; step++) {
      const chooses = step % 3 === 0
      const fresh = kernels.createProgram(other.ops)
      const got = await one.step(program, chooses ? selectors[0] : 'all')
      assertSameBits(got, await other.step(fresh, chooses ? selectors[1] : 'all'), `step ${step}`)
      fresh.dispose()
    }
    const graphs = counted(kernels).graphs - before.graphs
    expect(graphs).toBeGreaterThan(least)
    expect(graphs).toBeLessThan(most)
  })
})
