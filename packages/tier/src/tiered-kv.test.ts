import { OptionError } from '@kvasir/core'
import { loadKernels } from '@kvasir/kernels'
import { expect, test } from 'vitest'
import { hotBytesFor } from './hot-bytes.ts'
import { fileTier, hostTier, tieredKv } from './tiered-kv.ts'

test('options are complete once resolved', () => {
  expect(tieredKv({ lower: hostTier(), hotBytes: 1000 })).toEqual({
    lower: { kind: 'host', pinned: true },
    hotBytes: 1000,
    lowerType: 'f16',
    unit: 'row',
    onMiss: 'wait',
    prefetch: false,
  })
  expect(tieredKv({ lower: fileTier({ path: '/tmp/x' }), hotBytes: 1000, lowerType: 'q8' })).toEqual({
    lower: { kind: 'file', path: '/tmp/x', direct: false, ioThreads: 4, ioUring: true },
    hotBytes: 1000,
    lowerType: 'q8',
    unit: 'block',
    onMiss: 'wait',
    prefetch: true,
  })
})

test('resolved options resolve to themselves', () => {
  const resolved = tieredKv({ lower: fileTier({ path: 'x', direct: true }), hotBytes: 5, onMiss: 'drop' })
  expect(tieredKv(resolved)).toEqual(resolved)
})

test('wrong options are refused', () => {
  expect(() => tieredKv({ lower: hostTier(), hotBytes: 0 })).toThrow(OptionError)
  expect(() => tieredKv({ lower: hostTier() } as never)).toThrow('hotBytes')
  expect(() => tieredKv({ hotBytes: 5 } as never)).toThrow('tier.lower.kind')
  expect(() => fileTier({ path: 'x', threads: 2 } as never)).toThrow('ioThreads')
  expect(() => fileTier({ path: 'x', ioThreads: 65 })).toThrow('ioThreads')
  expect(() => hotBytesFor({ numLayers: 1, numKvHeads: 1, headDim: 64 }, 0)).toThrow('unitsPerHead')
  expect(() => hotBytesFor({ numLayers: 1, numKvHeads: 1, headDim: 64, unit: 'page' as never }, 1)).toThrow('unit')
})

test.each(['row', 'block'] as const)('hotBytesFor is what a %s arena then takes', async (unit) => {
  const kernels = await loadKernels()
  const shape = { numLayers: 3, numKvHeads: 2, headDim: 32 }
  for (const units of [1, 7, 100]) {
    const hotBytes = hotBytesFor({ ...shape, unit }, units)
    const arena = kernels.createArena({ ...shape, capacityPages: 10, tier: { lower: hostTier(), hotBytes, unit } })
    expect(arena.counts()?.hotBytes).toBe(hotBytes)
    arena.dispose()
  }
  await kernels.dispose()
})
