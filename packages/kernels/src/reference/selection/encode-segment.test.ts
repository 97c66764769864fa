import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CodeBits, VectorBits } from '../../selection.ts'
import { encodeSegment } from './encode-segment.ts'
import { codeOf, levelOf } from './residual-codes.ts'

const keys = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20 }))
  .chain(([tokens, dim]) =>
    fc.array(fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: dim, maxLength: dim }), {
      minLength: tokens,
      maxLength: tokens,
    }),
  )
  .map((rows) => rows.map((row) => Float32Array.from(row)))

describe('encodeSegment', () => {
  it('keeps mean and population deviation to the precision of their storage', () => {
    fc.assert(
      fc.property(keys, fc.constantFrom<VectorBits>(8, 16), (rows, vectorBits) => {
        const { mean, deviationSteps, step } = encodeSegment(rows, 2, vectorBits)
        const channel = (i: number) => rows.map((row) => row[i]!)
        const average = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length
        const deviations = Array.from(mean, (_, i) => {
          const c = average(channel(i))
          return Math.sqrt(average(channel(i).map((x) => (x - c) ** 2)))
        })
        const most = Math.max(...deviations)
        const farthest = Math.max(...Array.from(mean, (_, i) => Math.abs(average(channel(i)))))
        mean.forEach((c, i) => {
          const exact = average(channel(i))
          const meanError = vectorBits === 16 ? Math.abs(exact) * 2 ** -11 : farthest / 253
          expect(Math.abs(c - exact)).toBeLessThanOrEqual(meanError + 2e-5)
          const error = Math.abs(deviationSteps[i]! * step - deviations[i]!)
          expect(error).toBeLessThanOrEqual((vectorBits === 16 ? most / 505 : 0.2 * deviations[i]! + most / 254) + 2e-5)
        })
      }),
    )
  })

  it('gives every residual the code of the interval that holds it', () => {
    fc.assert(
      fc.property(keys, fc.constantFrom<CodeBits>(1, 2, 4), (rows, bits) => {
        const { mean, deviationSteps, step, codes } = encodeSegment(rows, bits)
        rows.forEach((row, token) => {
          row.forEach((k, i) => {
            const deviation = deviationSteps[i]! * step
            const residual = (k - mean[i]!) / deviation
            const code = codes[token]![i]!
            if (deviation === 0) {
              expect(code).toBe(codeOf(0, bits))
              return
            }
            const outer = [0.235, 0.517, 0.799, 1.081, 1.41, 1.833, 2.397]
            const edges = bits === 1 ? [0] : bits === 2 ? [-0.982, 0, 0.982] : [0, ...outer, ...outer.map((x) => -x)]
            if (edges.some((edge) => Math.abs(residual - edge) < 1e-4)) return
            expect(code).toBe(codeOf(residual, bits))
          })
        })
      }),
    )
  })

  it('gives a constant channel deviation 0', () => {
    const rows = [0.1, 0.7, -3].map((x) => Float32Array.of(x, 2.5))
    const { mean, deviationSteps } = encodeSegment(rows, 2)
    expect([...deviationSteps]).toEqual([255, 0])
    expect(mean[1]).toBe(2.5)
  })

  it('has a radius that reaches every key and little farther', () => {
    fc.assert(
      fc.property(
        keys,
        fc.constantFrom<CodeBits>(0, 1, 2, 4),
        fc.constantFrom<VectorBits>(8, 16),
        (rows, bits, vectors) => {
          const { mean, deviationSteps, step, codes, radius } = encodeSegment(rows, bits, vectors)
          const distances = rows.map((row, token) =>
            Math.hypot(
              ...row.map((k, i) => k - mean[i]! - deviationSteps[i]! * step * levelOf(codes[token]![i]!, bits)),
            ),
          )
          expect(radius).toBeGreaterThanOrEqual(Math.max(...distances))
          expect(radius).toBeLessThanOrEqual(Math.max(...distances) * 1.002 + 1e-6)
        },
      ),
    )
  })

  it('encodes a segment of one token as its rounded key', () => {
    const { mean, deviationSteps, step } = encodeSegment([Float32Array.of(1 / 3, -2)], 1)
    expect(mean[0]).toBeCloseTo(1 / 3, 3)
    expect(mean[1]).toBe(-2)
    expect([...deviationSteps, step]).toEqual([0, 0, 0])
  })
})

describe('residual codes', () => {
  it('rise with the residual and sit inside their interval', () => {
    expect([-2, -0.983, -0.981, -1e-9, 0, 0.981, 0.983, 9].map((r) => codeOf(r, 2))).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
    expect([-2, -1e-9, 0, 2].map((r) => codeOf(r, 1))).toEqual([0, 0, 1, 1])
    expect([0, 1, 2, 3].map((code) => codeOf(levelOf(code, 2), 2))).toEqual([0, 1, 2, 3])
    expect([0, 1].map((code) => codeOf(levelOf(code, 1), 1))).toEqual([0, 1])
    const sixteen = Array.from({ length: 16 }, (_, code) => code)
    expect(sixteen.map((code) => codeOf(levelOf(code, 4), 4))).toEqual(sixteen)
  })

  it('reproduce a normal variable with the error of the best quantiser of so many levels', () => {
    // Max (1960): mean squared error 0.3634 with two levels, 0.1175 with four.
    const error = (bits: CodeBits) => {
      let sum = 0
      let weight = 0
      for (let x = -6; x <= 6; x += 0.001) {
        const density = Math.exp((-x * x) / 2)
        sum += density * (x - levelOf(codeOf(x, bits), bits)) ** 2
        weight += density
      }
      return sum / weight
    }
    expect(error(1)).toBeCloseTo(0.3634, 3)
    expect(error(2)).toBeCloseTo(0.1175, 3)
    // The optimum of sixteen levels is 0.0095.
    expect(error(4)).toBeLessThan(0.0098)
  })
})
