import { OptionError, ShapeError } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { binomial, equalBits, plantedPairs, scope, secret } from '../test-fixtures/planted-pairs.ts'
import { createHasher } from './hasher.ts'
import { nearestVectors } from './nearest-vectors.ts'

let kernels: Kernels
beforeAll(async () => {
  kernels = await loadKernels({ numThreads: 2 })
})
afterAll(() => kernels.dispose())

/**
 * Probability that a row whose code differs from the query's in each of `bits` bits with probability 1 - p is among the c
 * nearest, if it stands before `others` rows whose bits are coins.
 */
function foundAmong(c: number, p: number, bits: number, others: number): number {
  let found = 0
  let nearer = 0
  for (let distance = 0; distance <= bits; distance++) {
    let atMost = 0
    for (let k = 0; k < c; k++)
      atMost += nearer === 0 ? Number(k === 0) : binomial(others, k, Math.min(nearer, 1 - 1e-12))
    found += binomial(bits, distance, 1 - p) * atMost
    nearer += binomial(bits, distance, 0.5)
  }
  return found
}

test.each([
  { cosine: 0.99, candidates: 1 },
  { cosine: 0.95, candidates: 1 },
  { cosine: 0.9, candidates: 1 },
  { cosine: 0.7, candidates: 1 },
  { cosine: 0.7, candidates: 16 },
  { cosine: 0.6, candidates: 4 },
])(
  'a pair of cosine $cosine is found among $candidates as often as the binomials say',
  async ({ cosine, candidates }) => {
    // Coordinates enough that unrelated rows are all but orthogonal; few bits, so that pairs are missed at all.
    const [dim, numHashes, others, perRotation, rotations] = [1024, 64, 500, 50, 8]
    let found = 0
    for (let rotation = 0; rotation < rotations; rotation++) {
      const { left, right } = plantedPairs(rotation, perRotation, dim, cosine)
      const strangers = seededRandom(100 + rotation).normals(others * dim)
      const hasher = createHasher({ kernels, secret, scope, dim, numHashes, rotation })
      for (let pair = 0; pair < perRotation; pair++) {
        const rows = new Float32Array((1 + others) * dim)
        rows.set(right.subarray(pair * dim, (pair + 1) * dim))
        rows.set(strangers, dim)
        const queries = left.subarray(pair * dim, (pair + 1) * dim)
        const { indices, values } = await nearestVectors({
          hasher,
          queries,
          rows,
          candidates,
          threshold: cosine - 0.01,
        })
        if (indices[0] !== 0) continue
        found++
        expect(values[0]).toBeCloseTo(cosine, 5)
      }
      hasher.dispose()
    }
    const n = perRotation * rotations
    const expected = foundAmong(candidates, equalBits(cosine), numHashes, others)
    expect(Math.abs(found / n - expected)).toBeLessThan(3 * Math.sqrt((expected * (1 - expected)) / n) + 1 / n)
  },
)

test('with as many candidates as rows the answer is the exact one, first of equal rows', async () => {
  const random = seededRandom(5)
  const [dim, numRows, numQueries] = [24, 60, 30]
  const rows = random.normals(numRows * dim)
  rows.copyWithin(40 * dim, 10 * dim, 11 * dim)
  const queries = random.normals(numQueries * dim)
  queries.set(rows.subarray(10 * dim, 11 * dim))
  for (const family of ['hyperplane', 'p-stable'] as const) {
    const hasher = createHasher({ kernels, secret, scope, dim, family, numHashes: 64 })
    for (const metric of ['cosine', 'l2'] as const) {
      const { indices } = await nearestVectors({ hasher, queries, rows, candidates: 60, metric })
      const score = (q: number, r: number) => {
        let [dot, rr, apart] = [0, 0, 0]
        for (let i = 0; i < dim; i++) {
          const [a, b] = [queries[q * dim + i] as number, rows[r * dim + i] as number]
          dot += a * b
          rr += b * b
          apart -= (a - b) ** 2
        }
        return metric === 'cosine' ? dot / Math.sqrt(rr) : apart
      }
      const all = Array.from({ length: numRows }, (_, r) => r)
      const best = Array.from({ length: numQueries }, (_, q) =>
        all.reduce((top, r) => (score(q, r) > score(q, top) ? r : top), 0),
      )
      expect([...indices]).toEqual(best)
      expect(indices[0]).toBe(10)
    }
  }
})

test('what is too far is no match, by vectors and by codes', async () => {
  const dim = 64
  const { left, right } = plantedPairs(6, 8, dim, 0.5)
  const hasher = createHasher({ kernels, secret, scope, dim })
  const match = (rule: object) => nearestVectors({ hasher, queries: left, rows: right, ...rule })
  expect((await match({ threshold: 0.51 })).indices).toEqual(new Int32Array(8).fill(-1))
  expect((await match({ threshold: 0.49 })).indices).toEqual(Int32Array.from({ length: 8 }, (_, i) => i))
  expect((await match({ maxDistance: 20 })).values).toEqual(new Float32Array(8).fill(Number.NaN))
  const none = await nearestVectors({ hasher, queries: left, rows: new Float32Array(0) })
  expect(none.indices).toEqual(new Int32Array(8).fill(-1))
})

test('misuse is refused, and aborted calls reject with the reason', async () => {
  const hasher = createHasher({ kernels, secret, scope, dim: 64 })
  const [queries, rows] = [new Float32Array(64), new Float32Array(64 * 150_000)]
  await expect(nearestVectors({ hasher, queries, rows, candidates: 0 })).rejects.toThrow(OptionError)
  await expect(nearestVectors({ hasher, queries: new Float32Array(65), rows })).rejects.toThrow(ShapeError)
  await expect(nearestVectors({ hasher, queries, rows, candidate: 3 } as never)).rejects.toThrow('candidates?')
  const controller = new AbortController()
  const reason = new Error('enough')
  const running = nearestVectors({ hasher, queries: rows, rows, signal: controller.signal })
  setTimeout(() => controller.abort(reason), 5)
  await expect(running).rejects.toBe(reason)
})
