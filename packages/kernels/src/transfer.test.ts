import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DisposedError, OptionError, ShapeError } from '@kvasir/core'
import { assertSameBits, nmse, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { runOnce } from './case-data.ts'
import { KernelError, TierError } from './errors.ts'
import type { AdoptOptions, ExportOptions, KeyTurns } from './kernels.ts'
import type { Op } from './ops.ts'
import { loadTested, testedBackends } from './tested-backends.ts'
import type { TierOptions } from './tier-options.ts'
import { arenaRows, ascending, fillArena, numbersOf, randomTurns, storedBytes } from './transfer-cases.ts'

const compiled = testedBackends()
const reference = await loadKernels({ backend: 'reference' })
const shape = { numLayers: 2, numKvHeads: 2, headDim: 64 }
const folder = mkdtempSync(join(tmpdir(), 'kvasir-transfer-'))

afterAll(() => rmSync(folder, { recursive: true }))

type Three = [Float32Array, Float32Array, Float32Array]

describe.each(compiled)('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  /** Rows adopted at slots 0, 1, ... and exported again. */
  async function turnedOnce(source: Uint8Array, tokens: number, turns: KeyTurns): Promise<Uint8Array> {
    const kernels = await loaded
    const arena = kernels.createArena({ ...shape, numLayers: 1, capacityPages: Math.ceil(tokens / 16) })
    const [rows, out] = [ascending(tokens), new Uint8Array(source.length)]
    await kernels.adoptRows({ arena, layer: 0, source, sourceTokens: tokens, sourceRows: rows, slots: rows, turns })
    await kernels.exportRows({ arena, layer: 0, pages: ascending(arena.capacityPages), numTokens: tokens, out })
    arena.dispose()
    return out
  }

  test.each(['half', 'interleaved'] as const)('keys turn by the angle, values stay (%s)', async (pairing) => {
    const random = seededRandom(1)
    for (const rotaryDim of [64, 48, 2]) {
      const tokens = 40
      const rowTurns = Array.from({ length: tokens }, (_, i) => i % 3)
      const turns = randomTurns(random, { numTurns: 3, rotaryDim, rowTurns, pairing })
      const source = storedBytes(random.normals(2 * 2 * tokens * 64), 'f16')
      const [before, after] = [numbersOf(source), numbersOf(await turnedOnce(source, tokens, turns))]
      const wanted = Float64Array.from(before)
      const pairs = rotaryDim / 2
      for (let row = 0; row < 2 * 2 * tokens; row++) {
        if (Math.floor(row / tokens) % 2 === 1) continue
        for (let i = 0; i < pairs; i++) {
          const first = row * 64 + (pairing === 'half' ? i : 2 * i)
          const second = pairing === 'half' ? first + pairs : first + 1
          const at = rowTurns[row % tokens]! * pairs + i
          const turn = Math.atan2(turns.sin[at]!, turns.cos[at]!)
          const [x, y] = [before[first]!, before[second]!]
          const [length, angle] = [Math.hypot(x, y), Math.atan2(y, x) + turn]
          wanted[first] = length * Math.cos(angle)
          wanted[second] = length * Math.sin(angle)
        }
      }
      expect(nmse(after, wanted)).toBeLessThan(1e-7)
      for (const head of [0, 1]) {
        const start = (head * 2 + 1) * tokens * 64
        assertSameBits(
          after.subarray(start, start + tokens * 64),
          before.subarray(start, start + tokens * 64),
          'values',
        )
      }
      const rest = (row: Float32Array) => row.filter((_, i) => i % 64 >= rotaryDim)
      assertSameBits(rest(after), rest(before), 'values beyond rotaryDim')
    }
  })

  test('turns add up: one after the other is their sum, there and back is where it was', async () => {
    const random = seededRandom(2)
    const tokens = 200
    const source = storedBytes(random.normals(2 * 2 * tokens * 64), 'f16')
    const [a, b] = [random.normals(32, 50), random.normals(32, 50)]
    const by = (angles: Float32Array) => ({
      cos: angles.map(Math.cos),
      sin: angles.map(Math.sin),
      pairing: 'half' as const,
      rotaryDim: 64,
      rowTurns: new Int32Array(tokens),
    })
    const sum = a.map((angle, i) => angle + b[i]!)
    const once = await turnedOnce(source, tokens, by(sum))
    const twice = await turnedOnce(await turnedOnce(source, tokens, by(a)), tokens, by(b))
    expect(nmse(numbersOf(twice), numbersOf(once))).toBeLessThan(3e-7)
    const back = await turnedOnce(await turnedOnce(source, tokens, by(a)), tokens, by(a.map((angle) => -angle)))
    expect(nmse(numbersOf(back), numbersOf(source))).toBeLessThan(3e-7)
    const still = await turnedOnce(source, tokens, by(new Float32Array(32)))
    assertSameBits(still, source, 'turned by nothing')
  })

  test('rows that stay have every bit they had, whatever they hold', async () => {
    const kernels = await loaded
    const tokens = 65536 / (2 * 2 * 64)
    // The reference and tiers hold numbers, so infinities and NaN are left out.
    const halves = Uint16Array.from({ length: 65536 }, (_, bits) => (((bits >> 10) & 31) === 31 ? bits & 0x83ff : bits))
    const source = new Uint8Array(halves.buffer)
    const rowTurns = new Array(tokens).fill(-1)
    const turns = randomTurns(seededRandom(3), { numTurns: 1, rotaryDim: 64, rowTurns })
    assertSameBits(await turnedOnce(source, tokens, turns), source, 'turn -1')
    const arena = kernels.createArena({ ...shape, numLayers: 1, capacityPages: tokens / 16 })
    const [rows, out] = [ascending(tokens), new Uint8Array(source.length)]
    await kernels.adoptRows({ arena, layer: 0, source, sourceTokens: tokens, sourceRows: rows, slots: rows })
    await kernels.exportRows({ arena, layer: 0, pages: ascending(tokens / 16), numTokens: tokens, out })
    assertSameBits(out, source, 'no turns')
  })

  test('what no slot names stays untouched, in any order of rows and with repeats', async () => {
    const kernels = await loaded
    const random = seededRandom(4)
    const arena = await fillArena(kernels, random, { ...shape, capacityPages: 5 })
    const sourceTokens = 50
    const values = numbersOf(storedBytes(random.normals(2 * 2 * sourceTokens * 64), 'f16'))
    const source = storedBytes(values, 'f16')
    const slots = Int32Array.of(79, 3, 17, 16, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 0)
    const sourceRows = Int32Array.of(49, 7, 7, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 48, 49)
    const wanted = arenaRows(arena)
    await kernels.adoptRows({ arena, layer: 1, source, sourceTokens, sourceRows, slots })
    for (let part = 0; part < 4; part++) {
      slots.forEach((slot, i) => {
        const at = (part * sourceTokens + sourceRows[i]!) * 64
        wanted[4 + part]!.set(values.subarray(at, at + 64), slot * 64)
      })
    }
    arenaRows(arena).forEach((rows, i) => {
      assertSameBits(rows, wanted[i]!, `part ${i}`)
    })
    const none = new Int32Array(0)
    await kernels.adoptRows({ arena, layer: 1, source, sourceTokens, sourceRows: none, slots: none })
    const empty = new Uint8Array(0)
    await kernels.adoptRows({ arena, layer: 0, source: empty, sourceTokens: 0, sourceRows: none, slots: none })
    await kernels.exportRows({ arena, layer: 0, pages: none, numTokens: 0, out: empty })
    arenaRows(arena).forEach((rows, i) => {
      assertSameBits(rows, wanted[i]!, `part ${i} after empty lists`)
    })
  })

  test('of rows with one slot the last one stays', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ ...shape, capacityPages: 1 })
    const values = Float32Array.from({ length: 2 * 2 * 300 * 64 }, (_, i) => Math.floor(i / 64) % 300)
    const source = storedBytes(values, 'f16')
    const slots = Int32Array.from({ length: 300 }, (_, i) => i % 7)
    await kernels.adoptRows({ arena, layer: 0, source, sourceTokens: 300, sourceRows: ascending(300), slots })
    const rows = arena.readRows('values', 0, 1, Int32Array.of(0), 0, 7)
    expect(Array.from({ length: 7 }, (_, i) => rows[i * 64])).toEqual([294, 295, 296, 297, 298, 299, 293])
  })

  test('an aborted transfer rejects with the reason, and the next one is whole', async () => {
    const kernels = await loaded
    const tokens = 4096
    const arena = kernels.createArena({ ...shape, capacityPages: tokens / 16 })
    const [rows, pages] = [ascending(tokens), ascending(tokens / 16)]
    const source = storedBytes(new Float32Array(2 * 2 * tokens * 64).fill(1), 'f16')
    const out = new Uint8Array(source.length)
    const reason = new Error('enough')
    const [before, during] = [AbortSignal.abort(reason), new AbortController()]
    const adopt = { arena, layer: 0, source, sourceTokens: tokens, sourceRows: rows, slots: rows }
    const give = { arena, layer: 0, pages, numTokens: tokens, out }
    await expect(kernels.adoptRows({ ...adopt, signal: before })).rejects.toBe(reason)
    await expect(kernels.exportRows({ ...give, signal: before })).rejects.toBe(reason)
    const started = [
      kernels.adoptRows({ ...adopt, signal: during.signal }),
      kernels.exportRows({ ...give, signal: during.signal }),
      kernels.adoptRows({ ...adopt, signal: during.signal }),
    ]
    during.abort(reason)
    for (const result of await Promise.allSettled(started)) expect(result).toEqual({ status: 'rejected', reason })
    await kernels.adoptRows(adopt)
    await kernels.exportRows(give)
    assertSameBits(out, source, 'after the aborted ones')
  })

  const tiers: readonly (readonly [string, TierOptions])[] = [
    ['host rows', { lower: { kind: 'host' }, hotBytes: 40_000 }],
    ['host rows in ordinary memory', { lower: { kind: 'host', pinned: false }, hotBytes: 40_000 }],
    ['host blocks', { lower: { kind: 'host' }, hotBytes: 60_000, unit: 'block' }],
    ['host q8', { lower: { kind: 'host' }, hotBytes: 40_000, lowerType: 'q8' }],
    ['file', { lower: { kind: 'file', path: join(folder, `${backend}-${isa}`) }, hotBytes: 60_000 }],
    [
      'file q8',
      { lower: { kind: 'file', path: join(folder, `${backend}-${isa}-q8`) }, hotBytes: 60_000, lowerType: 'q8' },
    ],
  ]

  test.each(tiers)('an arena with a tier takes and gives rows: %s', { timeout: 60_000 }, async (_, tier) => {
    const kernels = await loaded
    const random = seededRandom(5)
    const options = { ...shape, capacityPages: 40 }
    const arenas = [kernels.createArena({ ...options, tier }), reference.createArena({ ...options, ...q8Only(tier) })]
    const tokens = 500
    const source = storedBytes(random.normals(2 * 2 * tokens * 64), 'f16')
    const sourceRows = Int32Array.from({ length: tokens }, () => random.integer(tokens))
    const slots = Int32Array.from({ length: tokens }, (_, i) => 640 - 1 - i)
    const turns = randomTurns(random, {
      numTurns: 4,
      rotaryDim: 64,
      rowTurns: Array.from(slots, (slot) => (slot % 5) - 1),
    })
    const pages = Int32Array.from({ length: 32 }, (_, i) => 39 - i)
    const outs = arenas.map(() => new Uint8Array(2 * 2 * 490 * 64 * 2))
    for (const [i, arena] of arenas.entries()) {
      const { owner } = arena as unknown as { owner: typeof kernels }
      for (const layer of [0, 1]) {
        await owner.adoptRows({ arena, layer, source, sourceTokens: tokens, sourceRows, slots, turns })
      }
      await owner.exportRows({ arena, layer: 1, pages, numTokens: 490, out: outs[i]! })
    }
    assertSameBits(outs[0]!, outs[1]!, 'rows that came back')
    const [tiered, plain] = arenas.map((arena) => arena.readRows('keys', 0, 1, pages, 3, 480))
    assertSameBits(tiered!, plain!, 'rows that were read')
    arenas[0]!.dispose()
  })

  test.each(tiers)(
    'adopted and written rows are all that scattered rows read: %s',
    { timeout: 60_000 },
    async (_, tier) => {
      const kernels = await loaded
      if (kernels.backend === 'reference') return
      const options = { ...shape, capacityPages: 40 }
      const outs: Float32Array[] = []
      const other = {
        ...tier,
        ...(tier.lower.kind === 'file' ? { lower: { ...tier.lower, path: `${tier.lower.path}-2` } } : {}),
      }
      for (const arena of [
        kernels.createArena({ ...options, tier: other }),
        kernels.createArena({ ...options, ...q8Only(tier) }),
      ]) {
        const random = seededRandom(8)
        const tokens = 600
        const source = storedBytes(random.normals(2 * 2 * tokens * 64), 'f16')
        const [pages, positions] = [ascending(38, 1), Int32Array.from({ length: 40 }, (_, i) => 15 * i + (i % 7))]
        const slots = ascending(tokens, 16)
        const ops: Op[] = [0, 1].flatMap((layer) => {
          const [keys, values, q] = [0, 1, 2].map((part) => random.normals(40 * (part === 2 ? 6 : 2) * 64)) as Three
          const batch = {
            rowStarts: Int32Array.of(0, 40),
            contextTokens: Int32Array.of(tokens),
            pageStarts: Int32Array.of(0, 38),
            pages,
          }
          const out = new Float32Array(q.length)
          outs.push(out)
          const write = {
            kind: 'writeKv' as const,
            arena,
            layer,
            keys,
            values,
            slots: positions.map((at) => at + 16),
            rows: 40,
          }
          const fixed = { kind: 'attendPrefill' as const, arena, layer, q, numHeads: 6, scale: 0.125, windowTokens: 0 }
          return [write, { ...fixed, batch, positions, out }]
        })
        for (const layer of [0, 1]) {
          await kernels.adoptRows({ arena, layer, source, sourceTokens: tokens, sourceRows: ascending(tokens), slots })
        }
        await runOnce(kernels, ops, { tokens: 40, sequences: 1 })
        arena.dispose()
      }
      assertSameBits(outs[0]!, outs[2]!, 'layer 0')
      assertSameBits(outs[1]!, outs[3]!, 'layer 1')
    },
  )

  test('misuse is refused', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ ...shape, capacityPages: 2 })
    const row = 2 * 2 * 64 * 2
    const sourceRows = Int32Array.of(0, 1)
    const slots = Int32Array.of(31, 0)
    const turns = randomTurns(seededRandom(6), { numTurns: 2, rotaryDim: 32, rowTurns: [1, -1] })
    const valid = { arena, layer: 1, source: new Uint8Array(2 * row), sourceTokens: 2, sourceRows, slots, turns }
    const adopt = (change: Record<string, unknown>) => kernels.adoptRows({ ...valid, ...change } as AdoptOptions)
    const turn = (change: Record<string, unknown>) => adopt({ turns: { ...turns, ...change } })
    await adopt({})
    const refused: readonly (readonly [() => Promise<void>, unknown])[] = [
      [() => adopt({ layer: 2 }), OptionError],
      [() => adopt({ sauce: 1 }), OptionError],
      [() => adopt({ source: new Uint8Array(2 * row - 1) }), ShapeError],
      [() => adopt({ source: new Uint8Array(2 * row + 2).subarray(1, 2 * row + 1) }), 'source.byteOffset'],
      [() => adopt({ source: new Uint8Array(new SharedArrayBuffer(2 * row)) }), OptionError],
      [() => adopt({ source: new Float32Array(row / 2) }), OptionError],
      [() => adopt({ sourceRows: Int32Array.of(0, 2) }), 'sourceRows[1]'],
      [() => adopt({ sourceRows: Int32Array.of(0) }), ShapeError],
      [() => adopt({ slots: Int32Array.of(0, 32) }), KernelError],
      [() => adopt({ slots: Int32Array.of(-1, 0) }), 'slots[0]'],
      [() => turn({ rotaryDim: 31 }), ShapeError],
      [() => turn({ rotaryDim: 66 }), OptionError],
      [() => turn({ pairing: 'quarter' }), OptionError],
      [() => turn({ cos: new Float32Array(31) }), ShapeError],
      [() => turn({ sin: new Float32Array(48) }), ShapeError],
      [() => turn({ rowTurns: Int32Array.of(0) }), ShapeError],
      [() => turn({ rowTurns: Int32Array.of(0, 2) }), 'turns.rowTurns[1]'],
      [() => turn({ rowTurns: Int32Array.of(-2, 0) }), KernelError],
      [() => adopt({ arena: reference.createArena({ ...shape, capacityPages: 2 }) }), OptionError],
    ]
    for (const [attempt, error] of refused) await expect(attempt()).rejects.toThrow(error as typeof OptionError)

    const whole = { arena, layer: 0, pages: Int32Array.of(1, 0), numTokens: 20, out: new Uint8Array(20 * row) }
    const give = (change: Record<string, unknown>) => kernels.exportRows({ ...whole, ...change } as ExportOptions)
    await give({})
    await expect(give({ numTokens: 33 })).rejects.toThrow(OptionError)
    await expect(give({ numTokens: 19 })).rejects.toThrow(ShapeError)
    await expect(give({ pages: Int32Array.of(1, 2) })).rejects.toThrow(KernelError)
    await expect(give({ pages: [1, 0] })).rejects.toThrow(OptionError)
    arena.dispose()
    await expect(adopt({})).rejects.toThrow(DisposedError)
    await expect(give({})).rejects.toThrow(DisposedError)
  })
})

test.skipIf(compiled.length === 1)('a file that was damaged is not exported', async () => {
  const kernels = await loadKernels({ backend: 'cpu' })
  const path = join(folder, 'damaged')
  const arena = kernels.createArena({
    ...shape,
    capacityPages: 8,
    tier: { lower: { kind: 'file', path }, hotBytes: 60_000 },
  })
  const rows = ascending(128)
  const source = storedBytes(seededRandom(7).normals(2 * 2 * 128 * 64), 'f16')
  await kernels.adoptRows({ arena, layer: 0, source, sourceTokens: 128, sourceRows: rows, slots: rows })
  await runOnce(kernels, [])
  rmSync(path)
  const out = new Uint8Array(source.length)
  await expect(kernels.exportRows({ arena, layer: 0, pages: ascending(8), numTokens: 128, out })).rejects.toThrow(
    TierError,
  )
  await kernels.dispose()
})

/** What a tier does to rows, without the tier. */
function q8Only(tier: TierOptions): { tier?: TierOptions } {
  return tier.lowerType === 'q8' ? { tier: { lower: { kind: 'host' }, hotBytes: 40_000, lowerType: 'q8' } } : {}
}
