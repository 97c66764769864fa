import { OptionError } from '@kvasir/core'
import { policySuite, seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { chooseBlocks } from './block-choice.ts'
import { quest } from './quest.ts'
import { heads, lastChunk, openSession, randomKv, range, rowsOf, shape, stepOf } from './test-views.ts'

describe('the contract of a policy', () => {
  policySuite(() => quest({ budgetTokens: 40 }), { describe, test, budgetTokens: 40 })
  describe('in small blocks', () =>
    policySuite(() => quest({ budgetTokens: 24, pageTokens: 3, recentTokens: 5 }), {
      describe,
      test,
      budgetTokens: 24,
    }))
})

const options = { budgetTokens: 32, pageTokens: 5, sinkTokens: 2, recentTokens: 6 }
const queries = seededRandom(9).normals(shape.numHeads * shape.headDim, 2)

type Keys = ReturnType<typeof randomKv>

/** The rule in plain sight: the bounds of the blocks of one KV head. */
function plainBounds({ keyOf }: Keys, layer: number, kvHead: number, numBlocks: number): Float32Array {
  const group = shape.numHeads / shape.numKvHeads
  return Float32Array.from(range(0, numBlocks), (block) => {
    const keys = range(block * 5, block * 5 + 5).map((index) => keyOf(layer, kvHead, index))
    const bounds = range(kvHead * group, (kvHead + 1) * group).map((head) => {
      const query = Array.from(queries.subarray(head * shape.headDim, (head + 1) * shape.headDim))
      return query.reduce((sum, value, i) => sum + Math.max(...keys.map((key) => key[i] * value)), 0)
    })
    return Math.max(...bounds)
  })
}

/** A session that has read 83 rows in two chunks and 20 generated ones. */
async function opened() {
  const keys = randomKv(83)
  const session = openSession(quest(options))
  await session.retain!({ ...lastChunk(keys.reader(41)), last: false })
  await session.retain!(lastChunk(keys.kv))
  for (let index = 83; index < 103; index++) {
    await session.append!({ token: 0, piece: '', index, kv: keys.reader(index + 1) })
  }
  return { keys, session }
}

test('it reads the pages of the largest upper bound of q.k, by all queries of a KV head', async () => {
  const { keys, session } = await opened()
  for (const [layer, kvHead] of heads) {
    const rows = rowsOf(session.select!(stepOf(keys.reader(104), layer, 104, { queries })))[kvHead]
    const budget = { ...options, blockTokens: 5 }
    expect(rows).toEqual([...chooseBlocks(plainBounds(keys, layer, kvHead, 20), 20, 104, budget)])
    expect(rows).toHaveLength(32)
  }
})

test('each key is read once, and steps read none', async () => {
  const { keys, session } = await opened()
  for (const layer of [0, 1]) session.select!(stepOf(keys.reader(104), layer, 104, { queries }))
  expect(keys.seen.numKeys).toBe(4 * 100) // the rows of 20 full pages
  expect(session.counts!()).toEqual({
    steps: 1,
    attendedTokens: 4 * 32,
    pooledTokens: 0,
    indexBytes: 20 * 4 * 2 * shape.headDim * 4,
  })
})

test('forks and rewound sessions go on from the blocks that stand', async () => {
  const { keys, session } = await opened()
  const fork = session.fork!({ id: 'f', profile: { shape: { layers: [] } } } as never)
  expect(fork.counts!().indexBytes).toBe(session.counts!().indexBytes)
  session.rewind!(62)
  expect(session.counts!().indexBytes).toBe((fork.counts!().indexBytes * 12) / 20)
  await session.retain!(lastChunk(keys.reader(103)))
  const [again, first] = [session, (await opened()).session].map((each) =>
    rowsOf(each.select!(stepOf(keys.reader(104), 1, 104, { queries }))),
  )
  expect(again).toEqual(first)
})

test('evicted rows are no part of a block, and a block without rows is never read', async () => {
  const keys = randomKv(100)
  const evicted = [{ start: 3, end: 61 }]
  const kv = keys.reader(100, evicted)
  const session = openSession(quest(options))
  await session.retain!(lastChunk(kv))
  const rows = rowsOf(session.select!(stepOf(kv, 0, 101, { queries })))
  const held = rows.map((each) => each.filter((row) => row < 3 || row >= 61).length)
  expect(held).toEqual([32, 32])
})

test.each([
  [{ budgetTokens: 20 }, /more than the 20 tokens that are always read/],
  [{ budgetTokens: 40, pageTokens: 36, recentTokens: 1 }, /more than the 40 tokens/],
  [{ budgetTokens: 64, pageTokens: 0 }, /pageTokens/],
  [{ budgetTokens: 64, recent: 3 }, /Did you mean recentTokens\?/],
])('refuses %o', (wrong, message) => {
  expect(() => quest(wrong as never)).toThrow(OptionError)
  expect(() => quest(wrong as never)).toThrow(message)
})
