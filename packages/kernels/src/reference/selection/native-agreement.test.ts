import { indicesOfRow } from '@kvasir/core'
import { afterAll, describe, expect, it } from 'vitest'
import { availableBackends, loadKernels } from '../../backends.ts'
import type { Kernels } from '../../kernels.ts'
import { normals } from './test-numbers.ts'

const numTokens = 330
const numKvHeads = 2
const headDim = 64
const numHeads = 6
const pages = Int32Array.from({ length: Math.ceil(numTokens / 16) }, (_, i, n = Math.ceil(numTokens / 16)) => n - 1 - i)
const ends = Int32Array.of(1, 26, 60, 61, 130, 177, 240, 300)

/** What one backend holds and chooses after the same keys were written. */
async function answersOf(kernels: Kernels, codeBits: 1 | 2) {
  const arena = kernels.createArena({ numLayers: 1, numKvHeads, headDim, capacityPages: pages.length })
  const lists = kernels.createRunLists(1, numKvHeads)
  const keys = normals(numTokens * numKvHeads * headDim, 1)
  const q = normals(numHeads * headDim, 2)
  const slots = Int32Array.from({ length: numTokens }, (_, i) => pages[Math.floor(i / 16)]! * 16 + (i % 16))
  await kernels
    .createProgram([{ kind: 'writeKv', arena, layer: 0, keys, values: keys, slots, rows: 'tokens' }])
    .run({ tokens: numTokens })
  const index = kernels.createSegmentIndex({ numLayers: 1, numKvHeads, headDim, codeBits })
  await index.extend({ arena, pages }, ends)

  const batch = {
    rowStarts: Int32Array.of(0, 1),
    contextTokens: Int32Array.of(numTokens),
    pageStarts: Int32Array.of(0, pages.length),
    pages,
  }
  const program = kernels.createProgram([
    { kind: 'selectRuns', arena, layer: 0, q, numHeads, scale: 1 / 8, windowTokens: 0, batch, lists },
  ])
  const budget = { budgetTokens: 96, sinkTokens: 4, recentTokens: 16 }
  const selectors = [
    kernels.createSegmentSelector({ ...budget, index, poolFactor: 0 }),
    kernels.createSegmentSelector({ ...budget, index, poolFactor: 2 }),
    kernels.createSegmentSelector({ ...budget, index, poolFactor: 2, jointHeads: false }),
    kernels.createExactSelector(budget),
  ]
  const chosen: number[][][] = []
  for (const selector of selectors) {
    await program.run({ tokens: 1, sequences: 1, selectors: [selector] })
    chosen.push([0, 1].map((row) => indicesOfRow(lists.get(0), row)))
  }
  return { contents: [0, 1].map((kvHead) => index.read(0, kvHead)), chosen }
}

const loaded: Kernels[] = []
async function kernelsOf(options: Parameters<typeof loadKernels>[0]): Promise<Kernels> {
  const kernels = await loadKernels(options)
  loaded.push(kernels)
  return kernels
}
afterAll(() => Promise.all(loaded.map((kernels) => kernels.dispose())))

const isas = availableBackends().find(({ backend }) => backend === 'cpu')?.isas ?? []

describe.skipIf(isas.length === 0).each([1, 2] as const)('native selection with %i bits', (codeBits) => {
  it.each(isas)('%s indexes the same bits and chooses the same tokens as the reference', async (isa) => {
    const wanted = await answersOf(await kernelsOf({ backend: 'reference' }), codeBits)
    const got = await answersOf(await kernelsOf({ backend: 'cpu', isa, numThreads: 2 }), codeBits)
    got.contents.forEach(({ means, deviations, levels }, kvHead) => {
      const reference = wanted.contents[kvHead]!
      expect(means).toEqual(reference.means)
      expect(deviations).toEqual(reference.deviations)
      // Levels are products of a step and a unit there, constants here.
      expect(levels.every((level, i) => Math.abs(level - reference.levels[i]!) < 1e-6)).toBe(true)
    })
    expect(got.chosen).toEqual(wanted.chosen)
  })
})
