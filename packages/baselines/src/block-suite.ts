import { type CachePolicy, OptionError } from '@kvasir/core'
import { policySuite, seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { chooseBlocks } from './block-choice.ts'
import type { BlockOptions } from './block-policy.ts'
import { dot, heads, lastChunk, openSession, randomKv, range, rowsOf, shape, stepOf } from './test-views.ts'

const options = { budgetTokens: 32, sinkTokens: 2, recentTokens: 6 }
const blockTokens = 5
const queries = seededRandom(9).normals(shape.numHeads * shape.headDim, 2)

export interface BlockSuiteOptions {
  readonly make: (options: BlockOptions & Record<string, number>) => CachePolicy
  /** The option that has the tokens of a block. */
  readonly sizeKey: string
  readonly numVectors: number
  /** The rule in plain sight: of each query of a KV head and each block of keys its score; then how the queries join. */
  readonly score: (query: number[], keys: number[][]) => number
  readonly join: (scores: number[][]) => number[]
}

/** The tests of a policy that chooses blocks of a fixed length by vectors of their keys. */
export function blockSuite({ make, sizeKey, numVectors, score, join }: BlockSuiteOptions): void {
  const sized = (more: BlockOptions, size: number) => make({ ...more, [sizeKey]: size })

  describe('the contract of a policy', () => {
    policySuite(() => make({ budgetTokens: 40 }), { describe, test, budgetTokens: 40 })
    describe('in small blocks', () =>
      policySuite(() => sized({ budgetTokens: 24, recentTokens: 5 }, 3), { describe, test, budgetTokens: 24 }))
  })

  /** What the blocks of one KV head are worth, by the rule. */
  function plainWorth({ keyOf }: ReturnType<typeof randomKv>, layer: number, kvHead: number, numBlocks: number) {
    const group = shape.numHeads / shape.numKvHeads
    const scores = range(kvHead * group, (kvHead + 1) * group).map((head) => {
      const query = Array.from(queries.subarray(head * shape.headDim, (head + 1) * shape.headDim))
      return range(0, numBlocks).map((block) => {
        const rows = range(block * blockTokens, (block + 1) * blockTokens)
        return score(
          query,
          rows.map((index) => keyOf(layer, kvHead, index)),
        )
      })
    })
    return Float32Array.from(join(scores))
  }

  /** A session that has read 83 rows in two chunks and 20 generated ones. */
  async function opened() {
    const keys = randomKv(83)
    const session = openSession(sized(options, blockTokens))
    await session.retain!({ ...lastChunk(keys.reader(41)), last: false })
    await session.retain!(lastChunk(keys.kv))
    for (let index = 83; index < 103; index++) {
      await session.append!({ token: 0, piece: '', index, kv: keys.reader(index + 1) })
    }
    return { keys, session }
  }

  test('it reads the blocks that are worth most by the rule, to all queries of a KV head', async () => {
    const { keys, session } = await opened()
    for (const [layer, kvHead] of heads) {
      const rows = rowsOf(session.select!(stepOf(keys.reader(104), layer, 104, { queries })))[kvHead]
      const budget = { ...options, blockTokens }
      expect(rows).toEqual([...chooseBlocks(plainWorth(keys, layer, kvHead, 20), 20, 104, budget)])
      expect(rows).toHaveLength(32)
    }
  })

  test('each key is read once, and steps read none', async () => {
    const { keys, session } = await opened()
    for (const layer of [0, 1]) session.select!(stepOf(keys.reader(104), layer, 104, { queries }))
    expect(keys.seen.numKeys).toBe(4 * 100) // the rows of 20 full blocks
    expect(session.counts!()).toEqual({
      steps: 1,
      attendedTokens: 4 * 32,
      pooledTokens: 0,
      indexBytes: 20 * 4 * numVectors * shape.headDim * 4,
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

  test('rows that were dropped are no part of a block, and a block without rows is never read', async () => {
    const keys = randomKv(100)
    const kv = keys.reader(100, [{ start: 3, end: 61 }])
    const session = openSession(sized(options, blockTokens))
    await session.retain!(lastChunk(kv))
    for (const rows of rowsOf(session.select!(stepOf(kv, 0, 101, { queries })))) {
      expect(rows).toHaveLength(32)
      expect(rows.filter((row) => row >= 3 && row < 61)).toEqual([])
    }
  })

  test('rows that are dropped later change what is known of their blocks alone', async () => {
    const { keys, session } = await opened()
    const dropped = (_: number, kvHead: number) => (kvHead === 0 ? [] : [{ start: 71, end: 78 }])
    const kv = { ...keys.reader(103), dropped }
    const fresh = openSession(sized(options, blockTokens))
    await fresh.retain!(lastChunk(kv))
    keys.seen.numKeys = 0
    await session.append!({ token: 0, piece: '', index: 102, kv })
    expect(keys.seen.numKeys).toBe(2 * 30) // from the first block that changed, of one KV head in each layer
    const step = stepOf({ ...kv, numTokens: 104 }, 1, 104, { queries })
    expect(session.select!(step)).toEqual(fresh.select!(step))
    await session.append!({ token: 0, piece: '', index: 102, kv: { ...kv, dropped: (...at) => [...dropped(...at)] } })
    expect(keys.seen.numKeys).toBe(2 * 30)
  })

  test.each([
    [{ budgetTokens: 20 }, /more than the 20 tokens that are always read/],
    [{ budgetTokens: 40, [sizeKey]: 36, recentTokens: 1 }, /more than the 40 tokens/],
    [{ budgetTokens: 64, [sizeKey]: 0 }, new RegExp(sizeKey)],
    [{ budgetTokens: 64, recent: 3 }, /Did you mean recentTokens\?/],
  ])('refuses %o', (wrong, message) => {
    expect(() => make(wrong as never)).toThrow(OptionError)
    expect(() => make(wrong as never)).toThrow(message)
  })
}

/** The softmax of each query's scores over the blocks, summed over the queries. */
export function joinBySoftmax(scores: number[][]): number[] {
  const shares = scores.map((ofQuery) => {
    const exps = ofQuery.map((value) => Math.exp(value))
    const total = exps.reduce((sum, value) => sum + value, 0)
    return exps.map((value) => value / total)
  })
  return shares[0].map((_, block) => shares.reduce((sum, ofQuery) => sum + ofQuery[block], 0))
}

/** The score of the mean of some keys. */
export function scoreOfMean(query: number[], keys: number[][]): number {
  const mean = query.map((_, i) => keys.reduce((sum, key) => sum + key[i], 0) / keys.length)
  return dot(query, mean) / Math.sqrt(shape.headDim)
}
