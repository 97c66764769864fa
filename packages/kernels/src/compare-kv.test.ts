import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OptionError, ShapeError } from '@kvasir/core'
import { assertClose, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { runOnce } from './case-data.ts'
import { KernelError } from './errors.ts'
import type { CompareKvOp, Op } from './ops.ts'
import { loadTested, testedBackends } from './tested-backends.ts'
import type { TierOptions } from './tier-options.ts'

const compiled = testedBackends()
const shape = { numLayers: 2, numKvHeads: 3, headDim: 64 }
const rowValues = 3 * 64
const folder = mkdtempSync(join(tmpdir(), 'kvasir-compare-'))

afterAll(() => rmSync(folder, { recursive: true }))

describe.each(compiled)('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  const tiers: readonly (readonly [string, { type?: 'f32'; tier?: TierOptions }])[] = [
    ['f16', {}],
    ['f32', { type: 'f32' }],
    ['host', { tier: { lower: { kind: 'host' }, hotBytes: 60_000 } }],
    ['host q8', { tier: { lower: { kind: 'host' }, hotBytes: 60_000, lowerType: 'q8' } }],
    ['file', { tier: { lower: { kind: 'file', path: join(folder, `${backend}-${isa}`) }, hotBytes: 90_000 } }],
  ]

  test.each(tiers)('rows are compared with what the arena held before they are written: %s', async (name, options) => {
    const kernels = await loaded
    const random = seededRandom(1)
    const rows = 300
    const arena = kernels.createArena({ ...shape, capacityPages: 24, ...options })
    const [before, keys] = [random.normals(rows * rowValues), random.normals(rows * rowValues)]
    const zeros = new Float32Array(rows * rowValues)
    const slots = Int32Array.from({ length: rows }, (_, r) => (r < 200 ? r + 5 : 383 - (r - 200)))
    const [apart, same] = [new Float32Array(2 * rows), new Float32Array(2 * rows)]
    const fixed = { arena, layer: 1, slots, rows }
    const ops: Op[] = [
      { kind: 'writeKv', ...fixed, keys: before, values: keys },
      { kind: 'compareKv', ...fixed, keys, values: zeros, out: apart },
      { kind: 'writeKv', ...fixed, keys, values: before },
      { kind: 'compareKv', ...fixed, keys, values: before, out: same },
    ]
    await runOnce(kernels, ops)
    const length = (r: number, at: (i: number) => number) =>
      Math.hypot(...Array.from({ length: rowValues }, (_, c) => at(r * rowValues + c)))
    const distances = Float32Array.from({ length: rows }, (_, r) => {
      return length(r, (i) => keys[i]! - before[i]!) + length(r, (i) => keys[i]!)
    })
    const lengths = Float32Array.from({ length: rows }, (_, r) => length(r, (i) => keys[i]!))
    const stored = name === 'host q8' ? 1e-2 : 1e-3
    const column = (out: Float32Array, c: number) => out.filter((_, i) => i % 2 === c)
    assertClose(column(apart, 0), distances, { relative: stored })
    assertClose(column(apart, 1), lengths, { relative: 1e-5 })
    for (let r = 0; r < rows; r++) expect(same[2 * r]! / same[2 * r + 1]!).toBeLessThan(stored)
    if (name === 'f32') expect(column(same, 0)).toEqual(new Float32Array(rows))
    arena.dispose()
  })

  test('misuse is refused', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ ...shape, capacityPages: 1 })
    const [keys, values, out] = [new Float32Array(rowValues), new Float32Array(rowValues), new Float32Array(2)]
    const valid: CompareKvOp = {
      kind: 'compareKv',
      arena,
      layer: 0,
      keys,
      values,
      slots: Int32Array.of(15),
      out,
      rows: 1,
    }
    const attempt = async (change: Partial<CompareKvOp>) => runOnce(kernels, [{ ...valid, ...change }], { tokens: 1 })
    await attempt({})
    expect(out).toEqual(new Float32Array(2))
    await expect(attempt({ layer: 2 })).rejects.toThrow(OptionError)
    await expect(attempt({ out: new Float32Array(1) })).rejects.toThrow(ShapeError)
    await expect(attempt({ out: new Float32Array(1), rows: 'tokens' })).rejects.toThrow('at most 0: ops[0].out')
    await expect(attempt({ keys: new Float32Array(rowValues - 1) })).rejects.toThrow(ShapeError)
    await expect(attempt({ slots: Int32Array.of(16) })).rejects.toThrow(KernelError)
  })
})
