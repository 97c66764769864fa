import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CodeBits } from '../../selection.ts'
import { encodePrincipal, residualsOf } from './encode-principal.ts'
import { encodeSegment } from './encode-segment.ts'
import { estimatePrincipal, principalBound, principalQuery } from './estimate-principal.ts'
import { estimateScores } from './estimate-scores.ts'
import { principalBasis, zeroOf } from './principal-basis.ts'
import { meanOfRows, storeMean } from './stored-vectors.ts'
import { mixedNormals, normals } from './test-numbers.ts'

function encoded(rows: readonly Float32Array[], bits: CodeBits) {
  const mean = storeMean(meanOfRows(rows), 16)
  const channels = principalBasis(residualsOf(rows, mean), bits)
  return { mean, channels, segment: encodePrincipal(rows, mean, channels) }
}

const score = (q: Float32Array, row: Float32Array, scale: number) =>
  scale * row.reduce((sum, k, i) => sum + k * q[i]!, 0)

const anyKeys = fc
  .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 20 }), fc.nat(500))
  .map(([tokens, dim, seed]) => mixedNormals(tokens, dim, seed))

const anyBits = fc.constantFrom<CodeBits>(1, 2, 4)

describe('encodePrincipal', () => {
  it('gives every component the code of the interval that holds it', () => {
    fc.assert(
      fc.property(anyKeys, anyBits, (rows, bits) => {
        const { mean, channels, segment } = encoded(rows, bits)
        residualsOf(rows, mean).forEach((r, token) => {
          channels.forEach(({ direction, step, bits: own }, c) => {
            const code = segment.codes[token]![c]!
            if (step === 0) {
              expect(code).toBe(own === 0 ? 0 : 2 ** (own - 1))
              return
            }
            const steps = direction.reduce((sum, x, i) => sum + x * r[i]!, 0) / step
            const last = 2 ** own - 1
            const rounding = 1e-3 + (1e-5 * Math.hypot(...r)) / step
            if (code > 0) expect(steps).toBeGreaterThan(code - 2 ** (own - 1) - rounding)
            if (code < last) expect(steps).toBeLessThan(code + 1 - 2 ** (own - 1) + rounding)
          })
        })
      }),
    )
  })

  it('has a radius that reaches every key and little farther', () => {
    fc.assert(
      fc.property(anyKeys, anyBits, (rows, bits) => {
        const { mean, segment } = encoded(rows, bits)
        const distances = rows.map((row, t) => Math.hypot(...row.map((k, i) => k - mean[i]! - segment.levels[t]![i]!)))
        expect(segment.radius).toBeGreaterThanOrEqual(Math.max(...distances) - 1e-6)
        expect(segment.radius).toBeLessThanOrEqual(Math.max(...distances) * 1.002 + 1e-6)
      }),
    )
  })

  it('has levels that are the sums of the components that codes stand for', () => {
    const rows = mixedNormals(40, 24, 1)
    const { channels, segment } = encoded(rows, 2)
    segment.levels.forEach((level, token) => {
      for (let i = 0; i < 24; i++) {
        const parts = channels.map(({ direction, step, bits }, c) =>
          bits === 0 ? 0 : direction[i]! * (segment.codes[token]![c]! - zeroOf(bits)) * step,
        )
        expect(level[i]).toBeCloseTo(
          parts.reduce((a, b) => a + b, 0),
          4,
        )
      }
    })
  })
})

describe('estimatePrincipal', () => {
  it('is never farther from the score than the bound says', () => {
    fc.assert(
      fc.property(anyKeys, anyBits, fc.nat(500), (rows, bits, seed) => {
        const { mean, channels, segment } = encoded(rows, bits)
        const q = normals(mean.length, seed)
        const query = principalQuery(q, channels)
        const estimates = estimatePrincipal(segment, q, 0.3, query)
        const bound = principalBound(segment.radius, q, 0.3, query)
        rows.forEach((row, token) => {
          expect(Math.abs(score(q, row, 0.3) - estimates[token]!)).toBeLessThanOrEqual(bound)
        })
      }),
    )
  })

  it('differs from q.(mean + level) by the rounding of weights alone', () => {
    const rows = mixedNormals(60, 64, 2)
    for (const bits of [1, 2, 4] as const) {
      const { mean, channels, segment } = encoded(rows, bits)
      const q = normals(64, 5)
      const query = principalQuery(q, channels)
      const bound = 0.5 * query.unit * channels.reduce((sum, channel) => sum + zeroOf(channel.bits), 0)
      estimatePrincipal(segment, q, 1, query).forEach((estimate, token) => {
        const decoded = segment.levels[token]!.map((level, i) => level + mean[i]!)
        expect(Math.abs(estimate - score(q, decoded, 1))).toBeLessThan(bound + 1e-3)
      })
    }
  })

  it('is closer to the score than channels at the same bits, where keys vary along few directions', () => {
    const rows = mixedNormals(300, 64, 3)
    const error = (estimates: ArrayLike<number>, q: Float32Array) =>
      rows.reduce((sum, row, t) => sum + (score(q, row, 1 / 8) - estimates[t]!) ** 2, 0)
    for (const bits of [1, 2] as const) {
      const { channels, segment } = encoded(rows, bits)
      const plain = encodeSegment(rows, bits)
      let [principal, byChannel] = [0, 0]
      for (let seed = 0; seed < 10; seed++) {
        const q = normals(64, 900 + seed)
        principal += error(estimatePrincipal(segment, q, 1 / 8, principalQuery(q, channels)), q)
        byChannel += error(estimateScores(plain, q, 1 / 8, bits), q)
      }
      expect(principal).toBeLessThan(0.5 * byChannel)
    }
  })

  it('scores the mean for a query of zeros or keys that do not vary', () => {
    const row = Float32Array.of(1, -2, 0.5)
    const { channels, segment } = encoded([row, row], 2)
    const q = Float32Array.of(1, 2, 4)
    expect(estimatePrincipal(segment, q, 1, principalQuery(q, channels))).toEqual([-1, -1])
    const spread = encoded(mixedNormals(9, 3, 4), 2)
    const zeros = new Float32Array(3)
    const query = principalQuery(zeros, spread.channels)
    expect(new Set(estimatePrincipal(spread.segment, zeros, 1, query))).toEqual(new Set([0]))
  })
})
