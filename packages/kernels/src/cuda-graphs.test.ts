import { runsOfSpans } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { KernelError } from './errors.ts'
import type { Kernels, Program } from './kernels.ts'
import type { Op } from './ops.ts'

const isHere = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const [numLayers, numHeads, numKvHeads, headDim, most] = [2, 4, 2, 16, 3]
const capacityPages = 3 * 48

const graphs = (kernels: Kernels) => kernels.gpuCounts()?.graphs ?? 0

/** Sequences that write a row a step into each of two layers and read all of theirs; the pages of s are those of page % 3 = s. */
function decoder(kernels: Kernels) {
  const arena = kernels.createArena({ numLayers, numKvHeads, headDim, capacityPages, type: 'f32' })
  const [keys, values] = [new Float32Array(most * numKvHeads * headDim), new Float32Array(most * numKvHeads * headDim)]
  const q = new Float32Array(most * numHeads * headDim)
  const outs = Array.from({ length: numLayers }, () => new Float32Array(q.length))
  const lists = Array.from({ length: numLayers }, () => kernels.createRunLists(most, numKvHeads))
  const slots = new Int32Array(most)
  const batch = {
    rowStarts: Int32Array.of(0, 1, 2, 3),
    contextTokens: new Int32Array(most),
    pageStarts: new Int32Array(most + 1),
    pages: new Int32Array(capacityPages),
  }
  const ops = outs.flatMap((out, layer): Op[] => {
    const fixed = { arena, layer, q, numHeads, scale: 0.25, batch, lists: lists[layer]! }
    return [
      { kind: 'writeKv', arena, layer, keys, values, slots, rows: 'tokens' },
      { kind: 'selectRuns', ...fixed, windowTokens: 0 },
      { kind: 'attendRuns', ...fixed, out },
    ]
  })
  /** Sequence s of `tokens[s]` tokens reads [0, ends[layer][s]), and gets its last row. */
  async function step(program: Program, seed: number, tokens: readonly number[], beyond = 0) {
    const random = seededRandom(seed)
    for (const rows of [keys, values, q]) rows.set(random.normals(rows.length))
    let pages = 0
    for (const [s, context] of tokens.entries()) {
      batch.contextTokens[s] = context
      const last = context - 1
      slots[s] = 16 * (3 * (last >> 4) + s) + (last & 15)
      for (let page = 0; page <= last >> 4; page++) batch.pages[pages++] = 3 * page + s
      batch.pageStarts[s + 1] = pages
      for (const [layer, own] of lists.entries()) {
        const end = context + (layer === numLayers - 1 ? beyond : 0)
        own.set(s, runsOfSpans([{ start: 0, end }], numKvHeads))
      }
    }
    const selectors = tokens.map(() => 'given' as const)
    await program.run({ tokens: tokens.length, sequences: tokens.length, selectors })
    return outs.flatMap((out) => [...out.subarray(0, tokens.length * numHeads * headDim)])
  }
  return { ops, step }
}

describe.skipIf(!isHere)('graphs of decode steps on a GPU', { timeout: 120_000 }, () => {
  const load = () => loadKernels({ backend: isHere ? 'cuda' : 'reference' })
  const [loaded, loadedOther] = [load(), load()]
  afterAll(async () => {
    await (await loaded).dispose()
    await (await loadedOther).dispose()
  })

  test('batches that grow and shrink are graphs too, with the bits of programs that never ran', async () => {
    const [kernels, otherKernels] = [await loaded, await loadedOther]
    const [one, other] = [decoder(kernels), decoder(otherKernels)]
    const program = kernels.createProgram(one.ops)
    const sizes = [[200], [150, 170, 130], [201], [180, 160]]
    for (let round = 0; round < 6; round++) {
      const before = graphs(kernels)
      for (const [i, tokens] of sizes.entries()) {
        const grown = tokens.map((count) => count + round)
        const fresh = otherKernels.createProgram(other.ops)
        const wanted = await other.step(fresh, 10 * round + i, grown)
        assertSameBits(await one.step(program, 10 * round + i, grown), wanted, `round ${round}, batch ${i}`)
        fresh.dispose()
      }
      if (round > 2) expect(graphs(kernels) - before, `round ${round}`).toBe(sizes.length)
    }
  })

  test('programs that share buffers and rows take turns', async () => {
    const [kernels, otherKernels] = [await loaded, await loadedOther]
    const [one, other] = [decoder(kernels), decoder(otherKernels)]
    const programs = [kernels.createProgram(one.ops), kernels.createProgram(one.ops)]
    const before = graphs(kernels)
    for (let step = 0; step < 20; step++) {
      const fresh = otherKernels.createProgram(other.ops)
      const wanted = await other.step(fresh, 100 + step, [60 + step, 30 + step])
      assertSameBits(await one.step(programs[step % 2]!, 100 + step, [60 + step, 30 + step]), wanted, `step ${step}`)
      fresh.dispose()
    }
    expect(graphs(kernels) - before).toBeGreaterThan(10)
  })

  test('where the device makes no graph, runs go launch by launch, and it is told why', async (context) => {
    const [kernels, otherKernels] = [await load(), await loadedOther]
    if (kernels.isa !== 'emulated') context.skip('the emulated device refuses when it is asked to')
    const [one, other] = [decoder(kernels), decoder(otherKernels)]
    const program = kernels.createProgram(one.ops)
    for (let step = 0; step < 5; step++) {
      const fresh = otherKernels.createProgram(other.ops)
      const wanted = await other.step(fresh, 200 + step, [30 + step])
      process.env.KVASIR_GPU_REFUSE_GRAPHS = '1'
      try {
        assertSameBits(await one.step(program, 200 + step, [30 + step]), wanted, `step ${step}`)
      } finally {
        delete process.env.KVASIR_GPU_REFUSE_GRAPHS
      }
      fresh.dispose()
    }
    const counts = { runs: 5, graphs: 0, refusedGraphs: 1, refusal: 'endCapture: KVASIR_GPU_REFUSE_GRAPHS is set' }
    expect(kernels.gpuCounts()).toEqual(counts)
    await kernels.dispose()
  })

  test('after a run that broke off before its launches, the next one is right', async () => {
    const [kernels, otherKernels] = [await load(), await loadedOther]
    const [one, other] = [decoder(kernels), decoder(otherKernels)]
    const program = kernels.createProgram(one.ops)
    // Room for long lists of one sequence: a batch of three then fits, and asks for tickets where sums of the first row lay.
    for (const tokens of [1, 700, 701]) {
      const fresh = otherKernels.createProgram(other.ops)
      assertSameBits(await one.step(program, tokens, [tokens]), await other.step(fresh, tokens, [tokens]))
      fresh.dispose()
    }
    const tokens = [140, 150, 160]
    await expect(one.step(program, 5, tokens, 1)).rejects.toThrow(KernelError)
    const fresh = otherKernels.createProgram(other.ops)
    const wanted = await other.step(fresh, 5, tokens)
    assertSameBits(await one.step(program, 5, tokens), wanted, 'after it')
    assertSameBits(await one.step(program, 5, tokens), wanted, 'as a graph')
    await kernels.dispose()
  })
})
