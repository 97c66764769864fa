import { OptionError, ShapeError } from '@kvasir/core'
import { type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { plantedPairs, scope, secret } from '../test-fixtures/planted-pairs.ts'
import { createHasher } from './hasher.ts'
import { nearestTokens } from './nearest-tokens.ts'
import { createVocabulary, type Vocabulary } from './vocabulary.ts'

let kernels: Kernels
beforeAll(async () => {
  kernels = await loadKernels({ numThreads: 1 })
})
afterAll(() => kernels.dispose())

const [dim, pairs] = [64, 50]
// Ids i and 100 + i are a pair of cosine 0.9.
const { left, right } = plantedPairs(7, pairs, dim, 0.9)

function vocabularyOf(asked: number[] = []): Vocabulary {
  const hasher = createHasher({ kernels, secret, scope, dim })
  const embeddings = (ids: Int32Array) => {
    asked.push(...ids)
    const rows = new Float32Array(ids.length * dim)
    ids.forEach((id, i) => {
      rows.set((id < 100 ? left : right).subarray((id % 100) * dim, ((id % 100) + 1) * dim), i * dim)
    })
    return rows
  }
  return createVocabulary({ hasher, numTokens: 100 + pairs, embeddings })
}

test('equal ids match at their first place, others by their vectors', async () => {
  const vocabulary = vocabularyOf()
  const donor = Int32Array.of(100, 3, 107, 3, 120, 107)
  const target = Int32Array.of(3, 7, 107, 0, 33, 7, 20)
  const { indices, values } = await nearestTokens({ vocabulary, target, donor, threshold: 0.8 })
  expect([...indices]).toEqual([1, 2, 2, 0, -1, 2, 4])
  const expected = [1, 0.9, 1, 0.9, Number.NaN, 0.9, 0.9]
  values.forEach((value, i) => {
    if (Number.isNaN(expected[i])) expect(value).toBeNaN()
    else expect(value).toBeCloseTo(expected[i]!, 5)
  })
  const far = await nearestTokens({ vocabulary, target, donor, metric: 'l2', threshold: 0.3 })
  expect([...far.indices]).toEqual([...indices])
  expect([far.values[0], far.values[1]]).toEqual([0, expect.closeTo(0.2, 5)])
})

test('every counterpart is found among all of a vocabulary', async () => {
  const ids = (from: number) => Int32Array.from({ length: pairs }, (_, i) => from + i)
  const { indices } = await nearestTokens({ vocabulary: vocabularyOf(), target: ids(0), donor: ids(100) })
  expect(indices).toEqual(ids(0))
})

test('a code is computed once, and vectors are asked for only where they are compared', async () => {
  const asked: number[] = []
  const vocabulary = vocabularyOf(asked)
  const codes = await vocabulary.codes(Int32Array.of(5, 6, 5))
  expect(asked).toEqual([5, 6])
  expect(vocabulary.numKnown).toBe(2)
  expect(codes.subarray(0, 32)).toEqual(codes.subarray(64))
  await vocabulary.codes(Int32Array.of(6, 5, 9))
  expect(asked).toEqual([5, 6, 9])

  asked.length = 0
  await nearestTokens({ vocabulary, target: Int32Array.of(5, 6), donor: Int32Array.of(6, 5, 9) })
  expect(asked).toEqual([])
})

test('empty lists have no matches', async () => {
  const vocabulary = vocabularyOf()
  const [none, some] = [new Int32Array(0), Int32Array.of(1, 2)]
  expect((await nearestTokens({ vocabulary, target: none, donor: some })).indices).toEqual(none)
  expect((await nearestTokens({ vocabulary, target: some, donor: none })).indices).toEqual(Int32Array.of(-1, -1))
})

test('misuse is refused, and aborted calls reject with the reason', async () => {
  const vocabulary = vocabularyOf()
  await expect(vocabulary.codes(Int32Array.of(1, 400))).rejects.toThrow(/ids\[1\]: expected an id in \[0, 150\)/)
  await expect(vocabulary.codes([1] as never)).rejects.toThrow(OptionError)
  const options = { vocabulary, target: Int32Array.of(1), donor: Int32Array.of(101) }
  await expect(nearestTokens({ ...options, candidates: 257 })).rejects.toThrow(OptionError)
  await expect(nearestTokens({ ...options, treshold: 1 } as never)).rejects.toThrow('Did you mean threshold?')
  const short = createVocabulary({ hasher: vocabulary.hasher, numTokens: 9, embeddings: () => new Float32Array(3) })
  await expect(short.codes(Int32Array.of(1))).rejects.toThrow(ShapeError)
  const reason = new Error('enough')
  await expect(nearestTokens({ ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})
