import { OptionError } from '@kvasir/core'
import { policySuite } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { adaKv } from './adakv.ts'
import { snapKv } from './snapkv.ts'
import { lastChunk, openSession, randomKv, range, rowsOf, shape, stepOf } from './test-views.ts'

const small = { budgetTokens: 24, windowTokens: 8 }

describe('the contract of a policy', () => {
  describe('inside', () => policySuite(() => adaKv(small), { describe, test, budgetTokens: 24 }))
  describe('beside', () => policySuite(() => adaKv({ ...small, generated: 'beside' }), { describe, test }))
})

/** Attention whose rows differ and whose first KV head gets `factor` times that of the second. */
function lopsided(numTokens: number, factor: number) {
  const mass = Float32Array.from({ length: shape.numHeads * numTokens }, (_, at) => {
    const head = Math.floor(at / numTokens)
    const index = at % numTokens
    return ((index * 37) % numTokens) * (head < shape.numHeads / 2 ? factor : 1) + 1
  })
  return { windowTokens: 8, windowMass: async () => mass, totalMass: async () => mass }
}

async function shares(floorShare: number, factor: number, generated = 1) {
  const session = openSession(adaKv({ ...small, floorShare, poolTokens: 1 }))
  const { kv } = randomKv(100)
  await session.retain!(lastChunk(kv, lopsided(100, factor)))
  return rowsOf(session.select!(stepOf(kv, 0, 100 + generated))).map(({ length }) => length - 12 - generated)
}

test('heads share what a layer has room for, above a floor', async () => {
  const room = 24 - 12 - 1
  expect(await shares(0, 1000)).toEqual([2 * room, 0])
  expect(await shares(0.2, 1000)).toEqual([20, 2]) // 0.2 * 11 + 0.8 * 22 and 0.2 * 11, what is left over to the first
  expect(await shares(1, 1000)).toEqual([room, room])
  expect(await shares(0, 1, 5)).toEqual([7, 7])
})

test('the best of all heads are kept where there is no floor', async () => {
  const session = openSession(adaKv({ ...small, floorShare: 0, poolTokens: 1 }))
  const { kv } = randomKv(100)
  const attention = lopsided(100, 1.5)
  await session.retain!(lastChunk(kv, attention))
  const mass = await attention.windowMass()
  const all = [0, 1].flatMap((kvHead) => range(4, 92).map((row) => ({ kvHead, row, score: mass[kvHead * 300 + row] })))
  const best = all.sort((a, b) => b.score - a.score || a.kvHead - b.kvHead || a.row - b.row).slice(0, 22)
  const rows = rowsOf(session.select!(stepOf(kv, 0, 101)))
  for (const kvHead of [0, 1]) {
    const expected = best.filter((each) => each.kvHead === kvHead).map(({ row }) => row)
    expect(rows[kvHead].slice(4, -9)).toEqual(expected.sort((a, b) => a - b))
  }
})

test('an even split is SnapKV', async () => {
  const sessions = [adaKv({ ...small, floorShare: 1 }), snapKv(small)].map(openSession)
  const { kv } = randomKv(100)
  for (const session of sessions) await session.retain!(lastChunk(kv, lopsided(100, 3)))
  const [ada, snap] = sessions.map((session) => rowsOf(session.select!(stepOf(kv, 1, 104))))
  expect(ada).toEqual(snap)
})

test.each([{ floorShare: 1.5 }, { floorShare: -1 }, { alpha: 0.2 }])('refuses %o', (options) => {
  expect(() => adaKv({ budgetTokens: 64, ...options } as never)).toThrow(OptionError)
})
