import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jacobiSweep } from './jacobi-sweep.ts'
import { normals } from './test-numbers.ts'

/** A a^T of random vectors: symmetric, and of no negative eigenvalue. */
function randomMatrix(size: number, seed: number): Float64Array[] {
  const a = Array.from({ length: size }, (_, i) => normals(size, 1000 * seed + i).map((x) => x * (i + 1)))
  return a.map((row) => Float64Array.from(a, (other) => row.reduce((sum, x, k) => sum + x * other[k]!, 0)))
}

const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0)

function inBasis(matrix: readonly Float64Array[], vectors: readonly Float64Array[]): Float64Array[] {
  const images = vectors.map((v) => Float64Array.from(matrix, (row) => dot(row, v)))
  return vectors.map((v) => Float64Array.from(images, (image) => dot(v, image)))
}

function offDiagonal(matrix: readonly Float64Array[]): number {
  return matrix.reduce((sum, row, i) => sum + row.reduce((part, x, j) => part + (i === j ? 0 : x * x), 0), 0)
}

describe('jacobiSweep', () => {
  it('gives an orthonormal basis, whose diagonal is that of the matrix in it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), fc.nat(1000), (size, seed) => {
        const matrix = randomMatrix(size, seed)
        const { vectors, diagonal } = jacobiSweep(matrix)
        vectors.forEach((v, c) => {
          vectors.forEach((w, d) => {
            expect(dot(v, w)).toBeCloseTo(c === d ? 1 : 0, 10)
          })
        })
        const scale = Math.max(...diagonal)
        inBasis(matrix, vectors).forEach((row, c) => {
          expect(row[c]! / scale).toBeCloseTo(diagonal[c]! / scale, 10)
        })
      }),
      { numRuns: 40 },
    )
  })

  it('takes most of the weight off the diagonal away, and all of it in a few sweeps', () => {
    for (const size of [8, 20, 64]) {
      let matrix = randomMatrix(size, 7)
      const before = offDiagonal(matrix)
      matrix = inBasis(matrix, jacobiSweep(matrix).vectors)
      expect(offDiagonal(matrix)).toBeLessThan(0.4 * before)
      for (let sweep = 1; sweep < 9; sweep++) matrix = inBasis(matrix, jacobiSweep(matrix).vectors)
      expect(offDiagonal(matrix)).toBeLessThan(1e-16 * before)
    }
  })

  it('solves two by two at once, and leaves a diagonal matrix alone', () => {
    const { vectors, diagonal } = jacobiSweep([Float64Array.of(2, 1), Float64Array.of(1, 2)])
    expect([...diagonal].map((x) => Math.round(1e12 * x) / 1e12)).toEqual([1, 3])
    expect(vectors[1]![0]).toBeCloseTo(Math.SQRT1_2, 12)
    const plain = [Float64Array.of(1, 0, 0), Float64Array.of(0, 5, 0), Float64Array.of(0, 0, 3)]
    expect([...jacobiSweep(plain).diagonal]).toEqual([1, 5, 3])
    expect(jacobiSweep(plain).vectors.map((v) => [...v])).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
  })

  it('does not write to the matrix', () => {
    const matrix = randomMatrix(5, 1)
    const copy = matrix.map((row) => row.slice())
    jacobiSweep(matrix)
    expect(matrix).toEqual(copy)
  })
})
