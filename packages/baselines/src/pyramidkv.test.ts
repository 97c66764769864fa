import { OptionError } from '@kvasir/core'
import { policySuite } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { pyramidKv, pyramidShare } from './pyramidkv.ts'
import { snapKv } from './snapkv.ts'
import { lastChunk, openSession, randomAttention, randomKv, range, rowsOf, stepOf } from './test-views.ts'

const small = { budgetTokens: 24, windowTokens: 8 }

describe('the contract of a policy', () => {
  describe('inside', () => policySuite(() => pyramidKv(small), { describe, test }))
  describe('beside', () => policySuite(() => pyramidKv({ ...small, generated: 'beside' }), { describe, test }))
})

test('budgets fall from the first layer to the last and sum to the same', () => {
  for (const [mean, numLayers, beta] of [
    [92, 30, 20],
    [12, 2, 20],
    [7, 5, 2],
    [100, 1, 20],
  ]) {
    const budgets = range(0, numLayers).map((layer) => pyramidShare(mean, layer, numLayers, beta))
    expect(budgets.reduce((sum, budget) => sum + budget, 0)).toBe(mean * numLayers)
    for (const [layer, budget] of budgets.entries()) {
      expect(budget).toBeGreaterThanOrEqual(0)
      if (layer > 0) expect(budget).toBeLessThanOrEqual(budgets[layer - 1] + 1) // rounding may add one
    }
    if (numLayers > 1) expect(Math.abs(budgets[numLayers - 1] - mean / beta)).toBeLessThanOrEqual(1)
  }
  expect(range(0, 4).map((layer) => pyramidShare(10, layer, 4, 1))).toEqual([10, 10, 10, 10])
})

test('each layer reads its budget, all layers together as many rows as SnapKV', async () => {
  const session = openSession(pyramidKv(small))
  const { kv } = randomKv(100)
  await session.retain!(lastChunk(kv, randomAttention(100, 8)))
  for (const numTokens of [101, 104]) {
    const lengths = [0, 1].map((layer) =>
      rowsOf(session.select!(stepOf(kv, layer, numTokens))).map((rows) => rows.length),
    )
    expect(lengths).toEqual([
      [35, 35],
      [13, 13],
    ])
  }
  expect(session.counts!()).toMatchObject({ heldTokens: 4 * 24, attendedTokens: 2 * 4 * 24 })
})

test('with beta 1 it is SnapKV', async () => {
  const sessions = [pyramidKv({ ...small, beta: 1 }), snapKv(small)].map(openSession)
  const { kv } = randomKv(100)
  for (const session of sessions) await session.retain!(lastChunk(kv, randomAttention(100, 8)))
  const [pyramid, snap] = sessions.map((session) => rowsOf(session.select!(stepOf(kv, 1, 104))))
  expect(pyramid).toEqual(snap)
})

test('refuses a beta below 1', () => {
  expect(() => pyramidKv({ budgetTokens: 64, beta: 0.5 })).toThrow(OptionError)
})
