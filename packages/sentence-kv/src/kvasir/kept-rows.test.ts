import { CapabilityError, type PrefillView, type Span } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { keepLists, keptRows, windowTokens } from './kept-rows.ts'

const shape = [
  { numHeads: 4, numKvHeads: 2, headDim: 8, rope: null },
  { numHeads: 4, numKvHeads: 2, headDim: 8, rope: null },
]
const numTokens = 120
const rule = { keptTokens: 30, sinkTokens: 3, recentTokens: 7 }
const masses = shape.map((_, layer) => {
  const random = seededRandom(layer + 1)
  return Float32Array.from({ length: 4 * numTokens }, () => random.uniform())
})

/** The end of a prompt. Masses are those of the window that a policy asks for; of another window they would be wrong. */
function view(dropped: (layer: number, kvHead: number) => readonly Span[] = () => []): PrefillView {
  const rows = () => new Float32Array()
  return {
    tokens: new Int32Array(numTokens),
    pieces: new Array(numTokens).fill(' a'),
    start: 0,
    last: true,
    kv: { numTokens, dropped, keys: rows, values: rows },
    attention: {
      windowTokens: 4 * windowTokens,
      windowMass: async (layer, tokens) => masses[layer].map((mass) => (tokens === windowTokens ? mass : 0)),
      totalMass: () => Promise.reject(new Error('not observed')),
    },
  }
}

/** What stays of the candidates, the long way round. */
function plainRows(layer: number, kvHead: number, candidates: readonly number[]): number[] {
  const summed = Array.from({ length: numTokens }, (_, row) =>
    [0, 1].reduce((sum, of) => sum + masses[layer][(2 * kvHead + of) * numTokens + row], 0),
  )
  const pooled = summed.map((_, row) => Math.max(...summed.slice(Math.max(0, row - 3), row + 4)))
  const always = (row: number) => row < 3 || row >= numTokens - 7
  const ranked = [...candidates].sort((a, b) => Number(always(b)) - Number(always(a)) || pooled[b] - pooled[a] || a - b)
  return ranked.slice(0, 30).sort((a, b) => a - b)
}

const all = Array.from({ length: numTokens }, (_, row) => row)
const plain = (keeps: (row: number, layer: number, kvHead: number) => boolean) =>
  [0, 1].map((layer) =>
    [0, 1].map((kvHead) =>
      plainRows(
        layer,
        kvHead,
        all.filter((row) => keeps(row, layer, kvHead)),
      ),
    ),
  )
const asArrays = (kept: readonly (readonly Int32Array[])[]) => kept.map((heads) => heads.map((rows) => [...rows]))

test("sinks, recent rows and those that the prompt's end attends to most stay, for each KV head", async () => {
  const kept = asArrays(await keptRows(view(), shape, null, rule))
  expect(kept).toEqual(plain(() => true))
  expect(new Set(kept.flat().map((rows) => rows.join())).size).toBe(4)
})

test('they are chosen among those that stand', async () => {
  const standing = shape.map(() => [0, 1].map((kvHead) => Int32Array.from(all.filter((row) => row % 2 === kvHead))))
  expect(asArrays(await keptRows(view(), shape, standing, rule))).toEqual(plain((row, _, kvHead) => row % 2 === kvHead))
})

test('none of them is a row that another policy dropped', async () => {
  const dropped = (layer: number, kvHead: number) => [{ start: 1 + layer, end: 60 + 10 * kvHead }]
  expect(asArrays(await keptRows(view(dropped), shape, null, rule))).toEqual(
    plain((row, layer, kvHead) => row < 1 + layer || row >= 60 + 10 * kvHead),
  )
})

test('they become a list a layer, a row of it a KV head', () => {
  const [list] = keepLists([[Int32Array.of(0, 1, 5), Int32Array.of(2)]])
  expect(list.rowStarts).toEqual(Int32Array.of(0, 2, 3))
})

test('a prompt that nobody observed is refused', async () => {
  const { attention: _, ...unobserved } = view()
  await expect(keptRows(unobserved, shape, null, rule)).rejects.toThrow(CapabilityError)
})
