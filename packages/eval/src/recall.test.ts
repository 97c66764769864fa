import { runsOfIndices } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import type { SelectedView } from '@kvasir/llama'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { layerRecall, RecallMeter, selectedShare } from './recall.ts'

const heads = { numHeads: 4, numKvHeads: 2 }

/** Random weights of 4 query heads over numTokens rows, each summing to 1. */
function randomWeights(seed: number, numTokens: number): number[][] {
  const random = seededRandom(seed)
  return Array.from({ length: 4 }, () => {
    const raw = Array.from({ length: numTokens }, () => 0.01 + random.integer(1000))
    const total = raw.reduce((sum, value) => sum + value)
    return raw.map((value) => value / total)
  })
}

/** rows: null for all of them. */
function selectedOf(weights: readonly number[][], rows: readonly number[][] | null, layer = 0): SelectedView {
  const all = weights[0].map((_, index) => index)
  return {
    layer,
    numTokens: all.length,
    runs: runsOfIndices(rows ?? [all, all]),
    weights: (kvHead, indices) =>
      Float32Array.from([0, 1].flatMap((head) => Array.from(indices, (i) => weights[kvHead * 2 + head][i]))),
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** From the definition: the share of each query head's mass that a set of rows holds. */
function shareOf(weights: readonly number[], rows: readonly number[], among: (i: number) => boolean): number {
  const sum = (indices: readonly number[]) => indices.filter(among).reduce((total, i) => total + weights[i], 0)
  return sum(rows) / sum(weights.map((_, i) => i))
}

const isCandidate = (i: number, numTokens: number) => i >= 4 && i < numTokens - 16

test('recall is the share of each query head mass, with and without what is always kept', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 24, max: 60 }), fc.boolean(), (seed, numTokens, perQuery) => {
      const weights = randomWeights(seed, numTokens)
      const random = seededRandom(seed + 1)
      const rows = Array.from({ length: perQuery ? 4 : 2 }, () =>
        Array.from({ length: numTokens }, (_, i) => i).filter((i) => i === numTokens - 1 || random.integer(3) === 0),
      )
      const rowOf = (head: number) => rows[perQuery ? head : Math.floor(head / 2)]
      const got = layerRecall(selectedOf(weights, rows), heads)
      const among = (i: number) => isCandidate(i, numTokens)
      expect(got.raw).toBeCloseTo(mean(weights.map((own, head) => shareOf(own, rowOf(head), () => true))), 5)
      expect(got.chosen).toBeCloseTo(mean(weights.map((own, head) => shareOf(own, rowOf(head), among))), 5)
      const kept = mean(rows.map((row) => row.filter(among).length))
      expect(got.random).toBeCloseTo(kept / (numTokens - 20), 9)
    }),
    { numRuns: 30 },
  )
})

test('the oracle is the best choice of as many rows, and no choice of that size passes it', () => {
  const numTokens = 40
  const weights = randomWeights(5, numTokens)
  const meanShare = (kvHead: number, i: number) =>
    mean([0, 1].map((head) => shareOf(weights[kvHead * 2 + head], [i], (j) => isCandidate(j, numTokens))))
  const best = [0, 1].map((kvHead) =>
    Array.from({ length: numTokens - 20 }, (_, i) => i + 4)
      .sort((a, b) => meanShare(kvHead, b) - meanShare(kvHead, a))
      .slice(0, 6)
      .sort((a, b) => a - b),
  )
  const { chosen, oracle } = layerRecall(selectedOf(weights, best), heads)
  expect(chosen).toBeCloseTo(oracle, 6)
  const worse = layerRecall(selectedOf(weights, [[4, 5, 6, 7, 8, 9], best[1]]), heads)
  expect(worse.oracle).toBeCloseTo(oracle, 6)
  expect(worse.chosen).toBeLessThan(oracle)
})

test('everything read is recall 1, and a context of always kept rows alone leaves no choice', () => {
  const full = new RecallMeter({ ...heads, numLayers: 1 })
  full.add(selectedOf(randomWeights(1, 50), null))
  expect(full.fields()).toEqual({
    recallRaw: expect.closeTo(1, 6),
    recall: expect.closeTo(1, 6),
    recallNormalised: 1,
    recallByLayer: [1],
  })
  expect(layerRecall(selectedOf(randomWeights(1, 12), null), heads)).toMatchObject({ raw: 1, chosen: 0, random: 1 })
})

test('a meter gives means over steps for each layer, and nothing for no step', () => {
  const meter = new RecallMeter({ ...heads, numLayers: 2 })
  expect(meter.fields()).toBeNull()
  const chosen = [
    [4, 10, 39],
    [20, 21, 39],
  ]
  const steps = [1, 2].map((seed) => randomWeights(seed, 40))
  for (const weights of steps)
    for (const layer of [0, 1]) meter.add(selectedOf(weights, layer === 0 ? chosen : null, layer))
  const fields = meter.fields()!
  const recalls = steps.map((weights) => layerRecall(selectedOf(weights, chosen), heads))
  const sum = (name: 'raw' | 'chosen' | 'oracle' | 'random') => recalls[0][name] + recalls[1][name]
  const layer0 = (sum('chosen') - sum('random')) / (sum('oracle') - sum('random'))
  expect(fields.recallByLayer).toEqual([expect.closeTo(layer0, 9), 1])
  expect(fields.recallRaw).toBeCloseTo((sum('raw') / 2 + 1) / 2, 6)
  expect(fields.recallNormalised).toBeCloseTo((layer0 + 1) / 2, 9)
})

test('the share of needle rows counts each row of the list', () => {
  const runs = runsOfIndices([
    [3, 4, 5, 20],
    [4, 30],
  ])
  const view = { ...selectedOf(randomWeights(1, 40), null), runs }
  expect(selectedShare(view, [4, 5])).toBe(3 / 4)
  expect(selectedShare(view, [6])).toBe(0)
})
