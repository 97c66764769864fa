import { describe, expect, it } from 'vitest'
import type { CodeBits } from '../../selection.ts'
import { encodeSegment } from './encode-segment.ts'
import { estimateScores, segmentDensity } from './estimate-scores.ts'
import { levelOf } from './residual-codes.ts'
import { scoreBound } from './score-bound.ts'
import { normals } from './test-numbers.ts'

const rowsOf = (tokens: number, dim: number, seed: number) => {
  const values = normals(tokens * dim, seed)
  return Array.from({ length: tokens }, (_, t) => values.slice(t * dim, (t + 1) * dim))
}

describe('estimateScores', () => {
  it.each([1, 2, 4] as CodeBits[])(
    'differs from the formula with unrounded weights by their rounding alone, %i bits',
    (bits) => {
      const segment = encodeSegment(rowsOf(30, 64, 1), bits)
      const q = normals(64, 2)
      const weights = Array.from(q, (x, i) => x * segment.deviationSteps[i]! * segment.step)
      const bound = (64 * 0.5 * Math.max(...weights.map(Math.abs)) * 2.73) / 127 / 8
      const got = estimateScores(segment, q, 1 / 8, bits)
      segment.codes.forEach((codes, token) => {
        let score = 0
        q.forEach((x, i) => {
          score += x * segment.mean[i]! + weights[i]! * levelOf(codes[i]!, bits)
        })
        expect(Math.abs(got[token]! - score / 8)).toBeLessThan(bound)
        expect(Math.abs(got[token]! - score / 8)).toBeLessThan(0.02)
      })
    },
  )

  it('explains most of the variance of the true scores, more with two bits', () => {
    const rows = rowsOf(200, 64, 3)
    const q = normals(64, 4)
    const truth = rows.map((row) => row.reduce((sum, k, i) => sum + k * q[i]!, 0) / 8)
    const error = (bits: CodeBits) => {
      const estimates = estimateScores(encodeSegment(rows, bits), q, 1 / 8, bits)
      const mean = truth.reduce((a, b) => a + b, 0) / truth.length
      const residual = truth.reduce((sum, x, i) => sum + (x - estimates[i]!) ** 2, 0)
      return residual / truth.reduce((sum, x) => sum + (x - mean) ** 2, 0)
    }
    expect(error(1)).toBeLessThan(0.5)
    expect(error(2)).toBeLessThan(0.2)
    expect(error(2)).toBeLessThan(error(1))
  })

  it('gives all tokens the density of the segment without codes', () => {
    const rows = rowsOf(20000, 4, 9)
    const q = normals(4, 10)
    const segment = encodeSegment(rows, 0)
    const mean = rows.reduce((sum, row) => sum + Math.exp(row.reduce((dot, k, i) => dot + k * q[i]!, 0) / 2), 0)
    expect(segmentDensity(segment, q, 1 / 2)).toBeCloseTo(Math.log(mean / rows.length), 1)
    expect(new Set(estimateScores(segment, q, 1 / 2, 0))).toEqual(new Set([segmentDensity(segment, q, 1 / 2)]))
  })

  it.each([0, 1, 2, 4] as CodeBits[])('is never farther below the score than the bound says, %i bits', (bits) => {
    for (let seed = 1; seed < 20; seed++) {
      const rows = rowsOf(20, 32, seed).map((row) => row.map((x) => x * (seed % 3) + 1))
      const q = normals(32, 100 + seed)
      const segment = encodeSegment(rows, bits, seed % 2 === 0 ? 8 : 16)
      const estimates = estimateScores(segment, q, 0.2, bits)
      const bound = scoreBound(segment, q, 0.2, bits)
      rows.forEach((row, token) => {
        const score = 0.2 * row.reduce((sum, k, i) => sum + k * q[i]!, 0)
        expect(score).toBeLessThanOrEqual(estimates[token]! + bound)
      })
    }
  })

  it('scores every token of a constant segment as its mean', () => {
    const row = normals(8, 5).map((x) => Math.round(x * 8) / 8)
    const segment = encodeSegment([row, row, row], 2)
    const q = normals(8, 6)
    const score = row.reduce((sum, k, i) => sum + k * q[i]!, 0)
    for (const estimate of estimateScores(segment, q, 1, 2)) expect(estimate).toBeCloseTo(score, 6)
  })

  it('gives 0 for a query of zeros', () => {
    expect([...estimateScores(encodeSegment(rowsOf(3, 16, 7), 2), new Float32Array(16), 1, 2)]).toEqual([0, 0, 0])
  })
})
