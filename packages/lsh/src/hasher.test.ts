import { OptionError, ScopeError, ShapeError } from '@kvasir/core'
import { availableBackends, type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { equalBits, plantedPairs, scope, secret } from '../test-fixtures/planted-pairs.ts'
import { createHasher } from './hasher.ts'
import { countBits } from './signature-bands.ts'

const backends = availableBackends().filter(({ missing }) => missing === undefined)
let kernels: Kernels
beforeAll(async () => {
  kernels = await loadKernels({ numThreads: 1 })
})
afterAll(() => kernels.dispose())

const pairs = 100
const rotations = 16

/** Mean over pairs and rotations of what `compare` makes of two codes. */
async function meanOver(
  options: { family: 'hyperplane' | 'p-stable'; dim: number; width?: number },
  [left, right]: readonly [Float32Array, Float32Array],
  compare: (a: Uint8Array, b: Uint8Array) => number,
): Promise<number> {
  let sum = 0
  for (let rotation = 0; rotation < rotations; rotation++) {
    const hasher = createHasher({ kernels, secret, scope, numHashes: 64, rotation, ...options })
    const [a, b] = [await hasher.codes(left), await hasher.codes(right)]
    sum += compare(a, b) / rotations
    hasher.dispose()
  }
  return sum
}

test.each([0.99, 0.95, 0.9, 0.5, 0])('vectors of cosine %d agree in a share 1 - angle / pi of bits', async (cosine) => {
  const dim = 256
  const { left, right } = plantedPairs(1, pairs, dim, cosine)
  const differing = (a: Uint8Array, b: Uint8Array) =>
    a.reduce((sum, byte, i) => sum + countBits(byte ^ (b[i] as number)), 0) / (8 * a.length)
  const share = 1 - (await meanOver({ family: 'hyperplane', dim }, [left, right], differing))
  const p = equalBits(cosine)
  // Planes are shared by the pairs of a rotation, which leaves n between the numbers of planes and of bits.
  const sigma = Math.sqrt((p * (1 - p)) / (pairs * rotations))
  expect(Math.abs(share - p)).toBeLessThan(3 * sigma)
})

test.each([0.5, 1, 2, 4])('vectors at %d widths share a cell as often as the p-stable formula says', async (apart) => {
  const [dim, width] = [256, 4]
  const { left, right } = plantedPairs(2, pairs, dim, 0)
  const distance = apart * width
  const far = left.map((value, i) => value + distance * (right[i] as number))
  const equal = (a: Uint8Array, b: Uint8Array) => a.filter((cell, i) => cell === b[i]).length / a.length
  const share = await meanOver({ family: 'p-stable', dim, width }, [left, far], equal)
  const [ratio, tail] = [width / distance, normalTail(width / distance)]
  const p = 1 - 2 * tail - (2 / (Math.sqrt(2 * Math.PI) * ratio)) * (1 - Math.exp((-ratio * ratio) / 2))
  const sigma = Math.sqrt((p * (1 - p)) / (pairs * rotations))
  expect(Math.abs(share - p)).toBeLessThan(3 * sigma)
})

/** Probability that a normal variable exceeds x, by Simpson's rule. */
function normalTail(x: number): number {
  const [steps, end] = [2000, x + 12]
  const h = (end - x) / steps
  let sum = 0
  for (let i = 0; i <= steps; i++) {
    const at = x + i * h
    sum += (i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp((-at * at) / 2)
  }
  return (sum * h) / 3 / Math.sqrt(2 * Math.PI)
}

test('scopes, rotations and secrets have codes of their own', async () => {
  const { left } = plantedPairs(3, 4, 32, 0)
  const codes = await Promise.all(
    [{}, { rotation: 1 }, { scope: { ...scope, group: 'c' } }, { secret: secret.map((byte) => byte + 1) }].map(
      (other) => createHasher({ kernels, secret, scope, dim: 32, ...other }).codes(left),
    ),
  )
  for (const [i, a] of codes.entries()) {
    for (const b of codes.slice(i + 1)) {
      const differing = a.reduce((sum, byte, at) => sum + countBits(byte ^ (b[at] as number)), 0) / (8 * a.length)
      expect(Math.abs(differing - 0.5)).toBeLessThan(0.1)
    }
  }
})

describe.each(backends)('$backend', ({ backend }) => {
  test('codes are those of other backends, but for products near zero', async () => {
    const own = await loadKernels({ backend, numThreads: 1 })
    const { left } = plantedPairs(4, 20, 100, 0)
    const options = { secret, scope, dim: 100, numHashes: 128 }
    const [a, b] = [createHasher({ kernels: own, ...options }), createHasher({ kernels, ...options })]
    const products = await b.products(left)
    const clear = products.filter((product) => Math.abs(product) > 1e-3).length
    const [mine, others] = [await a.codes(left), await b.codes(left)]
    const differing = mine.reduce((sum, byte, i) => sum + countBits(byte ^ (others[i] as number)), 0)
    expect(differing).toBeLessThanOrEqual(products.length - clear)
    await own.dispose()
  })
})

test('what does not fit is refused', () => {
  const make = (options: object) => () => createHasher({ kernels, secret, scope, dim: 8, ...options })
  expect(make({ dim: 0 })).toThrow(OptionError)
  expect(make({ numHashes: 65 })).toThrow(ShapeError)
  expect(make({ width: 2 })).toThrow(/width: expected family p-stable/)
  expect(make({ family: 'minhash' })).toThrow(OptionError)
  expect(make({ secret: new Uint8Array(8) })).toThrow(OptionError)
  expect(make({ scope: { ...scope, model: '' } })).toThrow(ScopeError)
  expect(make({ numHash: 64 })).toThrow('Did you mean numHashes?')
})
