import { indicesOfRow, runsOfIndices, runsOfSpans } from '@kvasir/core'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { KeptRows, Kernels } from './kernels.ts'
import { loadTested, testedBackends } from './tested-backends.ts'

const backends = testedBackends()
const spanOf = (start: number, end: number) => runsOfSpans([{ start, end }], 2)

/** Indices of each KV head that attention reads of numTokens rows, where everything is chosen. */
async function readRows(kernels: Kernels, kept: KeptRows, numTokens: number, layers = [0, 1]): Promise<number[][][]> {
  const arena = kernels.createArena({ numLayers: 2, numKvHeads: 2, headDim: 16, capacityPages: 8 })
  const lists = layers.map(() => kernels.createRunLists(1, 2))
  const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, 8) }
  const batch = { ...starts, contextTokens: Int32Array.of(numTokens), pages: Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7) }
  const fixed = { arena, q: new Float32Array(32), numHeads: 2, scale: 1, windowTokens: 0, batch }
  const program = kernels.createProgram(
    layers.map((layer, i) => ({ kind: 'selectRuns' as const, ...fixed, layer, lists: lists[i]! })),
  )
  await program.run({ tokens: 1, sequences: 1, kept: [kept] })
  return lists.map((list) => [0, 1].map((row) => indicesOfRow(list.get(0), row)))
}

const range = (start: number, end: number) => Array.from({ length: end - start }, (_, i) => start + i)

describe.each(backends)('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  test('a second set drops more, brings nothing back, and leaves later rows and other layers alone', async () => {
    const kernels = await loaded
    const kept = kernels.createKeptRows(2, 2)
    expect(await readRows(kernels, kept, 100)).toEqual([
      [range(0, 100), range(0, 100)],
      [range(0, 100), range(0, 100)],
    ])
    kept.set(1, runsOfIndices([range(0, 30), [5, 17, 39]]), 40)
    kept.set(1, spanOf(20, 60), 70)
    const rows = await readRows(kernels, kept, 100)
    expect(rows[0]).toEqual([range(0, 100), range(0, 100)])
    expect(rows[1]).toEqual([
      [...range(20, 30), ...range(40, 60), ...range(70, 100)],
      [39, ...range(40, 60), ...range(70, 100)],
    ])
    expect([kept.heldTokens(0), kept.heldTokens(1)]).toEqual([0, 51])
  })

  test('the current token is read even where its row is not kept', async () => {
    const kernels = await loaded
    const kept = kernels.createKeptRows(2, 2)
    kept.set(0, spanOf(0, 3), 33)
    expect((await readRows(kernels, kept, 33, [0]))[0]).toEqual([
      [0, 1, 2, 32],
      [0, 1, 2, 32],
    ])
  })

  test('a truncated sequence may fill the place of rows that were dropped', async () => {
    const kernels = await loaded
    const kept = kernels.createKeptRows(2, 2)
    kept.set(0, spanOf(0, 10), 90)
    const clone = kept.clone()
    kept.truncate(67)
    expect((await readRows(kernels, kept, 100, [0]))[0]![0]).toEqual([...range(0, 10), ...range(67, 100)])
    expect((await readRows(kernels, clone, 100, [0]))[0]![0]).toEqual([...range(0, 10), ...range(90, 100)])
    kept.truncate(0)
    expect((await readRows(kernels, kept, 100, [0]))[0]![0]).toEqual(range(0, 100))
  })

  test('a given list serves layers that keep different rows', async () => {
    const kernels = await loaded
    const kept = kernels.createKeptRows(2, 1)
    kept.set(0, runsOfSpans([{ start: 0, end: 4 }], 1), 20)
    const lists = kernels.createRunLists(1, 1, 2)
    lists.set(0, runsOfIndices([range(2, 25), range(0, 20)]))
    const arena = kernels.createArena({ numLayers: 2, numKvHeads: 1, headDim: 16, capacityPages: 2 })
    const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, 2) }
    const batch = { ...starts, contextTokens: Int32Array.of(25), pages: Int32Array.of(0, 1) }
    const fixed = { arena, q: new Float32Array(32), numHeads: 2, scale: 1, batch, lists }
    const select = (layer: number) => ({ kind: 'selectRuns' as const, ...fixed, layer, windowTokens: 0 })
    const readAfter = async (layers: readonly number[]) => {
      const program = kernels.createProgram(layers.map(select))
      await program.run({ tokens: 1, sequences: 1, selectors: ['given'], kept: [kept] })
      return [0, 1].map((row) => indicesOfRow(lists.get(0), row))
    }
    expect(await readAfter([0])).toEqual([
      [2, 3, 20, 21, 22, 23, 24],
      [0, 1, 2, 3],
    ])
    expect(await readAfter([0, 1])).toEqual([range(2, 25), range(0, 20)])
  })

  test('kept rows are those that every set since the last cut has named', async () => {
    const kernels = await loaded
    const end = fc.integer({ min: 0, max: 128 })
    const indices = (below: number) => fc.uniqueArray(fc.integer({ min: 0, max: Math.max(0, below - 1) }))
    const set = end.chain((below) =>
      fc.record({ end: fc.constant(below), rows: fc.tuple(indices(below), indices(below)) }),
    )
    const step = fc.oneof(set, fc.record({ truncate: end }))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        const kept = kernels.createKeptRows(2, 2)
        const dropped = [new Set<number>(), new Set<number>()]
        let known = 0
        for (const step of steps) {
          if ('truncate' in step) {
            kept.truncate(step.truncate)
            known = Math.min(known, step.truncate)
            for (const head of dropped) for (const index of head) if (index >= step.truncate) head.delete(index)
            continue
          }
          const rows = step.rows.map((row) => (step.end === 0 ? [] : [...row].sort((a, b) => a - b)))
          kept.set(0, runsOfIndices(rows), step.end)
          known = Math.max(known, step.end)
          for (const head of [0, 1]) {
            for (let i = 0; i < step.end; i++) if (!rows[head]!.includes(i)) dropped[head]!.add(i)
          }
        }
        const read = (await readRows(kernels, kept, 128, [0]))[0]!
        dropped.forEach((head, i) => {
          expect(read[i]).toEqual(range(0, 128).filter((index) => index === 127 || !head.has(index)))
        })
        expect(kept.heldTokens(0)).toBe(2 * known - dropped[0]!.size - dropped[1]!.size)
        kept.dispose()
      }),
      { numRuns: 60 },
    )
  })
})
