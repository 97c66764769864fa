import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { loadTested, testedBackends } from './tested-backends.ts'
import { ascending, fillArena, numbersOf, storedBytes } from './transfer-cases.ts'

const reference = await loadKernels({ backend: 'reference' })
const shape = { numLayers: 2, numKvHeads: 2, headDim: 64 }

describe.each(testedBackends())('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  test('transfers keep their place among runs, and index arrays may change at once', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ ...shape, capacityPages: 1 })
    const constant = (value: number) => storedBytes(new Float32Array(2 * 2 * 64).fill(value), 'f16')
    const rows = { keys: new Float32Array(128).fill(2), values: new Float32Array(128).fill(2) }
    const program = kernels.createProgram([
      { kind: 'writeKv', arena, layer: 0, ...rows, slots: Int32Array.of(0), rows: 1 },
    ])
    const [slots, sourceRows, pages] = [Int32Array.of(0), Int32Array.of(0), Int32Array.of(0)]
    const outs = [0, 1, 2].map(() => new Uint8Array(2 * 2 * 64 * 2))
    const exported = (out: Uint8Array) => kernels.exportRows({ arena, layer: 0, pages, numTokens: 1, out })
    const done = [
      kernels.adoptRows({ arena, layer: 0, source: constant(1), sourceTokens: 1, sourceRows, slots }),
      exported(outs[0]!),
      program.run({ tokens: 0 }),
      exported(outs[1]!),
      kernels.adoptRows({ arena, layer: 0, source: constant(3), sourceTokens: 1, sourceRows, slots }),
      exported(outs[2]!),
    ]
    slots[0] = sourceRows[0] = pages[0] = 99
    // Held until the last of them has ended.
    arena.dispose()
    await Promise.all(done)
    outs.forEach((out, i) => {
      expect(new Set(numbersOf(out))).toEqual(new Set([i + 1]))
    })
  })

  test('loads, writes and exports that nobody waits for take place in the order of the calls', async () => {
    const exported: Uint8Array[][] = []
    for (const kernels of [await loaded, reference]) {
      const random = seededRandom(6)
      const [numLayers, tokens] = [3, 64]
      const arena = await fillArena(kernels, random, { ...shape, numLayers, capacityPages: 4 })
      const sourceTokens = 100
      const sources = [1, 2].map(() => storedBytes(random.normals(2 * 2 * sourceTokens * 64), 'f16'))
      const rows = random.normals(16 * 2 * 64)
      const fixed = { kind: 'writeKv' as const, arena, keys: rows, values: rows, rows: 'tokens' as const }
      const slots = Int32Array.from({ length: 16 }, () => 0)
      const writes = [[0], [1], [2], [0, 2]].map((layers) =>
        kernels.createProgram(layers.map((layer) => ({ ...fixed, layer, slots }))),
      )
      const outs: Uint8Array[] = []
      const started: Promise<void>[] = []
      for (let step = 0; step < 80; step++) {
        const [kind, layer] = [random.integer(3), random.integer(numLayers)]
        if (kind === 0) {
          const source = sources[random.integer(2)]!
          const chosen = Int32Array.from({ length: 40 }, () => random.integer(sourceTokens))
          const to = chosen.map(() => random.integer(tokens))
          started.push(kernels.adoptRows({ arena, layer, source, sourceTokens, sourceRows: chosen, slots: to }))
        } else if (kind === 1) {
          slots.forEach((_, i) => {
            slots[i] = random.integer(tokens)
          })
          started.push(writes[random.integer(4)]!.run({ tokens: 16 }))
        } else {
          const out = new Uint8Array(2 * 2 * tokens * 64 * 2)
          outs.push(out)
          started.push(kernels.exportRows({ arena, layer, pages: ascending(4), numTokens: tokens, out }))
        }
      }
      await Promise.all(started)
      exported.push(outs)
    }
    const [got, wanted] = exported as [Uint8Array[], Uint8Array[]]
    got.forEach((bytes, i) => {
      assertSameBits(bytes, wanted[i]!, `export ${i}`)
    })
  })
})
