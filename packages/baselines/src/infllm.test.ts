import { OptionError } from '@kvasir/core'
import { policySuite, seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { chooseBlocks } from './block-choice.ts'
import { joinBySoftmax, scoreOfMean } from './block-suite.ts'
import { infLlm } from './infllm.ts'
import {
  heads,
  lastChunk,
  openSession,
  randomAttention,
  randomKv,
  randomWeights,
  range,
  rowsOf,
  shape,
  stepOf,
} from './test-views.ts'

const options = { budgetTokens: 32, blockTokens: 5, representativeTokens: 2, sinkTokens: 2, recentTokens: 6 }

describe('the contract of a policy', () => {
  policySuite(() => infLlm({ budgetTokens: 40 }), { describe, test, budgetTokens: 40 })
  describe('in small blocks', () => policySuite(() => infLlm(options), { describe, test, budgetTokens: 32 }))
})

const keys = randomKv(0)
const queries = seededRandom(9).normals(shape.numHeads * shape.headDim, 2)

/** One decode step at a length of numTokens, its row appended: what each layer and KV head reads. */
async function step(session: ReturnType<typeof openSession>, numTokens: number): Promise<number[][][]> {
  const kv = keys.reader(numTokens)
  const rows = [0, 1].map((layer) => {
    const weights = randomWeights(layer, numTokens)
    return rowsOf(session.select!(stepOf(kv, layer, numTokens, { queries, weights })))
  })
  await session.append!({ token: 0, piece: '', index: numTokens - 1, kv })
  return rows
}

async function opened(numTokens = 83) {
  const session = openSession(infLlm(options))
  await session.retain!({ ...lastChunk(keys.reader(40)), last: false })
  await session.retain!(lastChunk(keys.reader(numTokens), randomAttention(numTokens, 1)))
  return session
}

/** What blocks known by the `chosen` rows are worth to the queries of the KV head. */
function plainMasses(layer: number, kvHead: number, chosen: readonly number[][]): Float32Array {
  const scores = range(kvHead * 3, kvHead * 3 + 3).map((head) => {
    const query = Array.from(queries.subarray(head * shape.headDim, (head + 1) * shape.headDim))
    return chosen.map((rows) =>
      scoreOfMean(
        query,
        rows.map((row) => keys.keyOf(layer, kvHead, row)),
      ),
    )
  })
  return Float32Array.from(joinBySoftmax(scores))
}

test('it reads the blocks whose best attended rows its queries weigh most, through prompt and decode', async () => {
  const session = await opened()
  const seen: number[][][][] = []
  for (const numTokens of range(84, 110)) seen.push(await step(session, numTokens))
  for (const [layer, kvHead] of heads) {
    const total = await randomAttention(83, 1).totalMass(layer)
    const sums = range(0, 110).map((row) => {
      if (row >= 83) return 0
      return range(kvHead * 3, kvHead * 3 + 3).reduce((sum, head) => sum + total[head * 83 + row], 0)
    })
    const chosen: number[][] = []
    const close = (numTokens: number) => {
      while ((chosen.length + 1) * 5 <= numTokens - 6) {
        const rows = range(chosen.length * 5, chosen.length * 5 + 5)
        rows.sort((a, b) => sums[b] / (numTokens - b) - sums[a] / (numTokens - a))
        chosen.push(rows.slice(0, 2))
      }
    }
    close(83)
    for (const [at, rows] of seen.entries()) {
      const numTokens = 84 + at
      const masses = plainMasses(layer, kvHead, chosen)
      expect(rows[layer][kvHead]).toEqual([...chooseBlocks(masses, chosen.length, numTokens, options)])
      expect(rows[layer][kvHead]).toHaveLength(32)
      const indices = Int32Array.from(rows[layer][kvHead])
      for (const [i, weight] of randomWeights(layer, numTokens)(kvHead, indices).entries()) {
        sums[indices[i % indices.length]] += weight
      }
      close(numTokens)
    }
  }
})

test('it reads each key once, and counts its index', async () => {
  keys.seen.numKeys = 0
  const session = await opened()
  for (const numTokens of range(84, 94)) await step(session, numTokens)
  const numBlocks = Math.floor((93 - 6) / 5)
  expect(keys.seen.numKeys).toBe(4 * numBlocks * 5)
  expect(session.counts!()).toEqual({
    steps: 10,
    attendedTokens: 10 * 4 * 32,
    pooledTokens: 0,
    indexBytes: numBlocks * 4 * shape.headDim * 4 + 4 * 256 * 4,
  })
})

test('forks go on alike; a rewind to the end of the prompt is exact', async () => {
  const [session, fresh] = [await opened(), await opened()]
  const expected: number[][][][] = []
  for (const numTokens of range(84, 96)) expected.push(await step(fresh, numTokens))
  for (const numTokens of [84, 85]) await step(session, numTokens)
  const layers = Array.from({ length: 2 }, () => ({ ...shape, rope: null }))
  const fork = session.fork!({ profile: { shape: { layers } } } as never)
  for (const numTokens of range(86, 96)) expect(await step(fork, numTokens)).toEqual(expected[numTokens - 84])
  session.rewind!(83)
  for (const numTokens of range(84, 96)) expect(await step(session, numTokens)).toEqual(expected[numTokens - 84])
})

test('a prompt that never ended leaves sinks and the last rows', async () => {
  const session = openSession(infLlm(options))
  await session.retain!({ ...lastChunk(keys.reader(83)), last: false })
  for (const rows of (await step(session, 84)).flat()) expect(rows).toEqual([0, 1, ...range(54, 84)])
})

test.each([
  [{ budgetTokens: 36 }, /more than the 36 tokens that are always read/],
  [{ budgetTokens: 64, representativeTokens: 17 }, /representativeTokens/],
  [{ budgetTokens: 64, blockToken: 3 }, /Did you mean blockTokens\?/],
])('refuses %o', (wrong, message) => {
  expect(() => infLlm(wrong as never)).toThrow(OptionError)
  expect(() => infLlm(wrong as never)).toThrow(message)
})
