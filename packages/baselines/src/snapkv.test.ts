import { OptionError } from '@kvasir/core'
import { policySuite } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { type SnapKvOptions, snapKv } from './snapkv.ts'
import { heads, lastChunk, openSession, randomAttention, randomKv, range, rowsOf, shape, stepOf } from './test-views.ts'

const small = { budgetTokens: 24, windowTokens: 8 }

describe('the contract of a policy', () => {
  describe('inside', () => policySuite(() => snapKv(small), { describe, test, budgetTokens: 24 }))
  describe('beside', () => policySuite(() => snapKv({ ...small, generated: 'beside' }), { describe, test }))
})

/** The rule in plain sight: the `count` rows before the window, sinks aside, of the highest pooled mass. */
async function plainChoice(ofLayer: number, kvHead: number, numTokens: number, window: number, count: number) {
  const mass = await randomAttention(numTokens, window).windowMass(ofLayer)
  const group = shape.numHeads / shape.numKvHeads
  const sums = range(0, numTokens - window).map((index) =>
    range(kvHead * group, (kvHead + 1) * group).reduce((sum, head) => sum + mass[head * numTokens + index], 0),
  )
  const pooled = sums.map((_, at) => Math.max(...sums.slice(Math.max(0, at - 3), at + 4)))
  const order = range(4, numTokens - window).sort((a, b) => Math.fround(pooled[b]) - Math.fround(pooled[a]) || a - b)
  return order.slice(0, count).sort((a, b) => a - b)
}

async function opened(options: Partial<SnapKvOptions> = {}, numTokens = 90) {
  const session = openSession(snapKv({ ...small, ...options }))
  const { kv } = randomKv(numTokens)
  const plan = await session.retain!(lastChunk(kv, randomAttention(numTokens, 8)))
  return { session, plan, kv }
}

test('it reads sinks, the rows of the highest pooled window mass, the window and what was generated', async () => {
  const { session, kv } = await opened()
  for (const generated of [1, 5, 11]) {
    for (const [layer, kvHead] of heads) {
      const rows = rowsOf(session.select!(stepOf(kv, layer, 90 + generated)))[kvHead]
      const best = await plainChoice(layer, kvHead, 90, 8, 12 - generated)
      expect(rows).toEqual([...range(0, 4), ...best, ...range(82, 90 + generated)])
    }
  }
})

test('once generated rows fill the budget the oldest of them make room', async () => {
  const { session, kv } = await opened()
  const rows = rowsOf(session.select!(stepOf(kv, 0, 120)))
  expect(rows).toEqual([0, 1].map(() => [...range(0, 4), ...range(100, 120)]))
})

test('the largest attention near a row keeps it: the pool widens what is kept', async () => {
  const numTokens = 60
  const mass = new Float32Array(shape.numHeads * numTokens)
  for (let head = 0; head < shape.numHeads; head++) mass[head * numTokens + 30] = 1
  const attention = { ...randomAttention(numTokens, 8), windowMass: async () => mass }
  const kept = async (poolTokens: number) => {
    const session = openSession(snapKv({ budgetTokens: 4 + 8 + 8, windowTokens: 8, poolTokens }))
    const { kv } = randomKv(numTokens)
    await session.retain!(lastChunk(kv, attention))
    return rowsOf(session.select!(stepOf(kv, 0, numTokens + 1)))[0].filter((row) => row >= 20 && row < 40)
  }
  expect(await kept(7)).toEqual(range(27, 34))
  expect(await kept(1)).toEqual([30])
})

test('beside: it keeps the budget of the prompt for good, and chooses nothing', async () => {
  const { session, plan, kv } = await opened({ generated: 'beside' })
  expect(session.select).toBeUndefined()
  expect(plan.keep).toHaveLength(shape.numLayers)
  for (const [layer, kvHead] of heads) {
    const rows = rowsOf({ kind: 'runs', runs: plan.keep![layer] })[kvHead]
    expect(rows).toEqual([...range(0, 4), ...(await plainChoice(layer, kvHead, 90, 8, 12)), ...range(82, 90)])
  }
  await session.append!({ token: 0, piece: '', index: 90, kv })
  expect(session.counts!().heldTokens).toBe(4 * (24 + 1))
})

test('beside: a second prompt is cut to the budget together with what the first left', async () => {
  const { session, plan } = await opened({ generated: 'beside' })
  const later = await session.retain!(lastChunk(randomKv(130).kv, randomAttention(130, 8, 7)))
  for (const [layer, kvHead] of heads) {
    const first = rowsOf({ kind: 'runs', runs: plan.keep![layer] })[kvHead]
    const rows = rowsOf({ kind: 'runs', runs: later.keep![layer] })[kvHead]
    expect(rows).toHaveLength(24)
    expect(rows.filter((row) => row < 90 && !first.includes(row))).toEqual([])
  }
})

test('beside: rows that were dropped stay dropped after a rewind', async () => {
  const { session, plan } = await opened({ generated: 'beside' })
  session.rewind!(85)
  const later = await session.retain!(lastChunk(randomKv(99).kv, randomAttention(99, 8, 7)))
  for (const [layer, kvHead] of heads) {
    const first = rowsOf({ kind: 'runs', runs: plan.keep![layer] })[kvHead]
    const rows = rowsOf({ kind: 'runs', runs: later.keep![layer] })[kvHead]
    expect(rows).toHaveLength(24)
    expect(rows.filter((row) => row < 85 && !first.includes(row))).toEqual([])
  }
})

test('inside: what a second turn ranks is what the first still had', async () => {
  const { session, kv } = await opened()
  const before = rowsOf(session.select!(stepOf(kv, 0, 95)))
  const next = randomKv(140).kv
  await session.retain!(lastChunk(next, randomAttention(140, 8, 3)))
  const after = rowsOf(session.select!(stepOf(next, 0, 141)))
  for (const kvHead of [0, 1]) {
    expect(after[kvHead]).toHaveLength(24)
    expect(after[kvHead].filter((row) => row < 95 && !before[kvHead].includes(row))).toEqual([])
  }
})

test('evicted rows are not ranked', async () => {
  const session = openSession(snapKv(small))
  const { reader } = randomKv(90)
  const kv = reader(90, [{ start: 10, end: 70 }])
  await session.retain!(lastChunk(kv, randomAttention(90, 8)))
  for (const rows of rowsOf(session.select!(stepOf(kv, 1, 91)))) {
    expect(rows).toHaveLength(24)
    expect(rows.filter((row) => row >= 10 && row < 70)).toEqual([])
  }
})

test('a prompt shorter than window or budget keeps everything', async () => {
  for (const numTokens of [1, 3, 7, 20]) {
    const { session, kv } = await opened({}, numTokens)
    expect(rowsOf(session.select!(stepOf(kv, 0, numTokens + 1)))[1]).toEqual(range(0, numTokens + 1))
    expect(session.counts!()).toMatchObject({ heldTokens: 4 * (numTokens + 1), pooledTokens: 0, indexBytes: 0 })
  }
})

test.each([
  [{ budgetTokens: 36 }, /more than the 36 tokens that are always read/],
  [{ budgetTokens: 64, poolTokens: 4 }, /an odd number/],
  [{ budgetTokens: 64, generated: 'on top' }, /one of inside, beside/],
  [{ budgetTokens: 64, window: 8 }, /Did you mean windowTokens\?/],
  [{}, /budgetTokens/],
])('refuses %o', (options, message) => {
  expect(() => snapKv(options as never)).toThrow(OptionError)
  expect(() => snapKv(options as never)).toThrow(message)
})
