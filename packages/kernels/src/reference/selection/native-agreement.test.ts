import { indicesOfRow, runsOfIndices } from '@kvasir/core'
import { afterAll, describe, expect, it } from 'vitest'
import { availableBackends, loadKernels } from '../../backends.ts'
import type { Kernels } from '../../kernels.ts'
import type { CodeBits, SegmentSelectorOptions, VectorBits } from '../../selection.ts'
import type { SelectorCounts } from '../../selector-counts.ts'
import { normals } from './test-numbers.ts'

const numTokens = 330
const numKvHeads = 2
const headDim = 64
const numHeads = 6
const pages = Int32Array.from({ length: Math.ceil(numTokens / 16) }, (_, i, n = Math.ceil(numTokens / 16)) => n - 1 - i)
const ends = Int32Array.of(1, 26, 60, 61, 130, 177, 240, 300)

/** What one backend holds and chooses after the same keys were written. */
async function answersOf(kernels: Kernels, codeBits: CodeBits, vectorBits: VectorBits) {
  const arena = kernels.createArena({ numLayers: 1, numKvHeads, headDim, capacityPages: pages.length })
  const lists = kernels.createRunLists(1, numKvHeads)
  const keys = normals(numTokens * numKvHeads * headDim, 1)
  const q = normals(numHeads * headDim, 2)
  const kept = kernels.createKeptRows(1, numKvHeads)
  kept.set(0, runsOfIndices([0, 1].map((head) => range(0, 290).filter((row) => row % (3 + head) !== 0))), 290)
  const slots = Int32Array.from({ length: numTokens }, (_, i) => pages[Math.floor(i / 16)]! * 16 + (i % 16))
  await kernels
    .createProgram([{ kind: 'writeKv', arena, layer: 0, keys, values: keys, slots, rows: 'tokens' }])
    .run({ tokens: numTokens })
  const index = kernels.createSegmentIndex({ numLayers: 1, numKvHeads, headDim, codeBits, vectorBits })
  await index.extend({ arena, pages }, ends)

  const batch = {
    rowStarts: Int32Array.of(0, 1),
    contextTokens: Int32Array.of(0),
    pageStarts: Int32Array.of(0, pages.length),
    pages,
  }
  const current = new Float32Array(q.length)
  const program = kernels.createProgram([
    { kind: 'selectRuns', arena, layer: 0, q: current, numHeads, scale: 1 / 8, windowTokens: 0, batch, lists },
  ])
  const budget = { budgetTokens: 96, sinkTokens: 4, recentTokens: 16 }
  const segments = (options: Partial<SegmentSelectorOptions>) =>
    kernels.createSegmentSelector({ ...budget, index, ...options })
  const selectors = [
    segments({ poolFactor: 0 }),
    segments({}),
    segments({ jointHeads: false }),
    segments({ prefilterFactor: 2.5 }),
    segments({ query: 'mean' }),
    segments({ query: 'ema', emaDecay: 0.7, poolFactor: 0 }),
    segments({ rerankSteps: 3, driftLimit: 0.9 }),
    segments({ certify: 'report' }),
    segments({ certify: 'extend', budgetTokens: 64, poolFactor: 1 }),
    kernels.createExactSelector(budget),
  ]
  const chosen: number[][][] = []
  const counts: SelectorCounts[] = []
  for (const selector of selectors) {
    // Steps by queries that turn, the last by one that has nothing to do with the others.
    for (const [step, rows] of [null, kept, null, kept, null].entries()) {
      batch.contextTokens[0] = numTokens - 4 + step
      const turn = step < 4 ? normals(numHeads * headDim, 10 + step) : normals(numHeads * headDim, 3).map((x) => 9 * x)
      current.set(q.map((x, i) => x + 0.2 * turn[i]!))
      await program.run({ tokens: 1, sequences: 1, selectors: [selector], kept: [rows] })
      chosen.push([0, 1].map((row) => indicesOfRow(lists.get(0), row)))
    }
    counts.push({ ...selector.counts(), ms: 0 })
  }
  return { contents: [0, 1].map((kvHead) => index.read(0, kvHead)), chosen, counts }
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i)
}

const loaded: Kernels[] = []
async function kernelsOf(options: Parameters<typeof loadKernels>[0]): Promise<Kernels> {
  const kernels = await loadKernels(options)
  loaded.push(kernels)
  return kernels
}
afterAll(() => Promise.all(loaded.map((kernels) => kernels.dispose())))

const isas = availableBackends().find(({ backend }) => backend === 'cpu')?.isas ?? []

const formats = [
  [2, 16],
  [1, 8],
  [4, 8],
  [0, 16],
] as const

describe.skipIf(isas.length === 0).each(formats)(
  'native selection with codes of %i and vectors of %i bits',
  (codeBits, vectorBits) => {
    it.each(isas)('%s indexes the same bits and chooses the same tokens as the reference', async (isa) => {
      const wanted = await answersOf(await kernelsOf({ backend: 'reference' }), codeBits, vectorBits)
      const got = await answersOf(await kernelsOf({ backend: 'cpu', isa, numThreads: 2 }), codeBits, vectorBits)
      got.contents.forEach(({ means, deviations, levels, radii }, kvHead) => {
        const reference = wanted.contents[kvHead]!
        expect(means).toEqual(reference.means)
        expect(deviations).toEqual(reference.deviations)
        // Levels are products of a step and a unit there, constants here; sums of radii differ in their order.
        expect(levels.every((level, i) => Math.abs(level - reference.levels[i]!) < 1e-6)).toBe(true)
        expect(radii.every((radius, i) => Math.abs(radius - reference.radii[i]!) <= 0.001 * radius)).toBe(true)
      })
      expect(got.chosen).toEqual(wanted.chosen)
      expect(got.counts).toEqual(wanted.counts)
    })
  },
)
