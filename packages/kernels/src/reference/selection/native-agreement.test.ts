import { runsOfIndices } from '@kvasir/core'
import { assertSameBits } from '@kvasir/core/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { availableBackends, loadKernels } from '../../backends.ts'
import type { Kernels } from '../../kernels.ts'
import type { CodeBits, SegmentBasis, SegmentSelectorOptions, VectorBits } from '../../selection.ts'
import type { SelectorCounts } from '../../selector-counts.ts'
import { KeyedSequence } from './keyed-sequence.ts'
import { normals } from './test-numbers.ts'

const ends = Int32Array.of(1, 26, 60, 61, 130, 177, 240, 300)

interface Format {
  readonly basis: SegmentBasis
  readonly codeBits: CodeBits
  readonly vectorBits: VectorBits
  readonly headDim: number
}

/** What one backend holds and chooses after the same keys were written. */
async function answersOf(kernels: Kernels, { basis, codeBits, vectorBits, headDim }: Format) {
  const sequence = await KeyedSequence.write(kernels, { numTokens: 330, numKvHeads: 2, numHeads: 6, headDim })
  const q = normals(6 * headDim, 2)
  const kept = kernels.createKeptRows(1, 2)
  kept.set(0, runsOfIndices([0, 1].map((head) => range(0, 290).filter((row) => row % (3 + head) !== 0))), 290)
  const index = kernels.createSegmentIndex({ numLayers: 1, numKvHeads: 2, headDim, codeBits, vectorBits, basis })
  await index.extend(sequence.kv, ends)

  const budget = { budgetTokens: 96, sinkTokens: 4, recentTokens: 16 }
  const segments = (options: Partial<SegmentSelectorOptions>) =>
    kernels.createSegmentSelector({ ...budget, index, ...options })
  const selectors = [
    segments({ poolFactor: 0 }),
    segments({}),
    segments({ jointHeads: false }),
    segments(basis === 'channels' ? { prefilterFactor: 2.5 } : { poolFactor: 1.25 }),
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
      const turn = step < 4 ? normals(6 * headDim, 10 + step) : normals(6 * headDim, 3).map((x) => 9 * x)
      const query = q.map((x, i) => x + 0.2 * turn[i]!)
      chosen.push(await sequence.choose(selector, query, 326 + step, rows))
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

const format = (basis: SegmentBasis, codeBits: CodeBits, vectorBits: VectorBits, headDim = 64): Format => ({
  ...{ basis, codeBits, vectorBits, headDim },
})

describe.skipIf(isas.length === 0).each(isas)('native selection on %s', (isa) => {
  const both = async (format: Format) => ({
    wanted: await answersOf(await kernelsOf({ backend: 'reference' }), format),
    got: await answersOf(await kernelsOf({ backend: 'cpu', isa, numThreads: 2 }), format),
  })

  it.each([format('channels', 2, 16), format('channels', 1, 8), format('channels', 4, 8), format('channels', 0, 16)])(
    'indexes the same bits and chooses the same tokens as the reference: %o',
    async (format) => {
      const { wanted, got } = await both(format)
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
    },
  )

  it.each([
    format('principal', 2, 16),
    format('principal', 1, 8),
    format('principal', 4, 8),
    format('principal', 2, 8, 128),
    format('principal', 1, 16, 80),
    format('principal', 4, 16, 16),
    format('principal', 2, 16, 1),
  ])('holds and chooses what the reference does, to the bit: %o', async (format) => {
    const { wanted, got } = await both(format)
    got.contents.forEach((contents, kvHead) => {
      for (const name of ['means', 'deviations', 'levels', 'radii'] as const) {
        assertSameBits(contents[name], wanted.contents[kvHead]![name], name)
      }
    })
    expect(got.chosen).toEqual(wanted.chosen)
    expect(got.counts).toEqual(wanted.counts)
  })
})
