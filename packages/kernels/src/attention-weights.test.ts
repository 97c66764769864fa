import { DisposedError, OptionError, ShapeError } from '@kvasir/core'
import { nmse, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { randomKv } from './case-data.ts'
import { KernelError } from './errors.ts'
import type { Kernels } from './kernels.ts'
import { loadTested, testedBackends } from './tested-backends.ts'

const compiled = testedBackends()
const reference = await loadKernels({ backend: 'reference' })

interface WeightsCase {
  readonly headDim: number
  readonly group: number
  readonly type: 'f16' | 'f32'
  readonly context: number
  readonly share: number
}

async function weightsOf(kernels: Kernels, seed: number, { headDim, group, type, context, share }: WeightsCase) {
  const random = seededRandom(seed)
  const shape = { numLayers: 2, numKvHeads: 2, headDim, type, sequences: 1, contextOf: () => context, rowsOf: () => 1 }
  const { arena, batch } = await randomKv(kernels, random, shape)
  const queries = random.normals(group * headDim, 2)
  const indices = Int32Array.from({ length: context }, (_, i) => i).filter(() => random.uniform() < share)
  // No order is asked for.
  if (indices.length > 3) indices.reverse().subarray(1).reverse()
  const scale = 1 / Math.sqrt(headDim)
  const weights = kernels.attentionWeights({ arena, pages: batch.pages }, 1, 1, queries, indices, scale)
  expect(weights.length).toBe(group * indices.length)
  return weights
}

const cases: WeightsCase[] = [
  { headDim: 64, group: 3, type: 'f16', context: 700, share: 0.5 },
  { headDim: 64, group: 1, type: 'f16', context: 1, share: 1 },
  { headDim: 128, group: 4, type: 'f16', context: 129, share: 1 },
  { headDim: 80, group: 7, type: 'f16', context: 300, share: 0.2 },
  { headDim: 33, group: 2, type: 'f32', context: 65, share: 1 },
  { headDim: 64, group: 9, type: 'f32', context: 64, share: 1 },
  { headDim: 16, group: 5, type: 'f16', context: 40, share: 0 },
]

describe.each(compiled)('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  test('weights agree with the formula', async () => {
    const kernels = await loaded
    for (const [seed, one] of cases.entries()) {
      if (backend === 'cuda' && one.headDim % 16 !== 0) continue
      const [got, wanted] = [await weightsOf(kernels, seed, one), await weightsOf(reference, seed, one)]
      if (wanted.length > 0) expect(nmse(got, wanted), `case ${seed}`).toBeLessThan(1e-10)
    }
  })

  test('the weights of each query sum to 1, whatever the scores', async () => {
    const kernels = await loaded
    const random = seededRandom(3)
    const shape = { numLayers: 1, numKvHeads: 1, headDim: 64, type: 'f16' as const, sequences: 1 }
    const { arena, batch } = await randomKv(kernels, random, { ...shape, contextOf: () => 500, rowsOf: () => 1 })
    const indices = Int32Array.from({ length: 333 }, (_, i) => 499 - i)
    for (const spread of [0, 1, 1000]) {
      const queries = random.normals(2 * 64, spread)
      const weights = kernels.attentionWeights({ arena, pages: batch.pages }, 0, 0, queries, indices, 1)
      for (const query of [0, 1]) {
        const sum = weights.subarray(query * 333, (query + 1) * 333).reduce((total, weight) => total + weight, 0)
        expect(sum).toBeCloseTo(1, 4)
      }
      if (spread === 0) expect(weights[7]).toBeCloseTo(1 / 333, 7)
    }
  })

  test('misuse is refused', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 2, numKvHeads: 2, headDim: 16, capacityPages: 2 })
    const valid = { layer: 1, kvHead: 1, queries: new Float32Array(32), indices: Int32Array.of(0, 31), scale: 0.5 }
    const attempt = (change: Partial<Record<keyof typeof valid | 'arena' | 'pages', unknown>>) => {
      const { layer, kvHead, queries, indices, scale, ...kv } = {
        ...{ arena, pages: Int32Array.of(1, 0), ...valid },
        ...change,
      } as never as typeof valid & { arena: typeof arena; pages: Int32Array }
      return () => kernels.attentionWeights(kv, layer, kvHead, queries, indices, scale)
    }
    expect(attempt({})()).toEqual(new Float32Array(4).fill(0.5))
    expect(attempt({ layer: 2 })).toThrow(OptionError)
    expect(attempt({ kvHead: -1 })).toThrow(OptionError)
    expect(attempt({ scale: Number.NaN })).toThrow(OptionError)
    expect(attempt({ queries: new Float32Array(7) })).toThrow(ShapeError)
    expect(attempt({ queries: new Float32Array(0) })).toThrow(ShapeError)
    expect(attempt({ indices: [0] })).toThrow(OptionError)
    expect(attempt({ indices: Int32Array.of(0, 32) })).toThrow(KernelError)
    expect(attempt({ indices: Int32Array.of(-1) })).toThrow('indices[0]')
    expect(attempt({ pages: Int32Array.of(1, 2) })).toThrow(KernelError)
    expect(
      attempt({ arena: reference.createArena({ numLayers: 2, numKvHeads: 2, headDim: 16, capacityPages: 2 }) }),
    ).toThrow(OptionError)
    arena.dispose()
    expect(attempt({})).toThrow(DisposedError)
  })
})
