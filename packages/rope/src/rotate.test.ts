import { type RopeSpec, ShapeError } from '@kvasir/core'
import { assertClose, nmse, seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { attentionFactor, inverseFrequencies } from './frequencies.ts'
import { rotate } from './rotate.ts'
import { ropeTable } from './table.ts'
import { nameOf, specsToTest } from './test-specs.ts'

const headDim = 64
const positions = [0, 1, 2, 777, 4096, 65_537, 131_071]
const numTokens = 131_072

/** Element by element in float64, with the rotation written as a product of complex numbers. */
function rotatedInFloat64(x: Float32Array, spec: RopeSpec): Float64Array {
  const result = Float64Array.from(x)
  const frequencies = inverseFrequencies(spec, numTokens)
  const heads = x.length / positions.length / headDim
  for (let at = 0; at < x.length; at++) {
    const i = at % headDim
    if (i >= spec.rotaryDim) continue
    const row = Math.floor(at / headDim / heads)
    const real = spec.pairing === 'half' ? i < spec.rotaryDim / 2 : i % 2 === 0
    const pair = spec.pairing === 'half' ? i % (spec.rotaryDim / 2) : Math.floor(i / 2)
    const distance = spec.pairing === 'half' ? spec.rotaryDim / 2 : 1
    const phase = Math.atan2(real ? x[at + distance] : x[at], real ? x[at] : x[at - distance])
    const length = Math.hypot(x[at], real ? x[at + distance] : x[at - distance]) * attentionFactor(spec)
    const turned = phase + positions[row] * frequencies[pair]
    result[at] = length * (real ? Math.cos(turned) : Math.sin(turned))
  }
  return result
}

describe('rotate', () => {
  const x = seededRandom(3).normals(positions.length * 2 * headDim)

  test.each(specsToTest().map((spec) => [nameOf(spec), spec] as const))(
    '%s: as an independent float64 formula',
    (_, spec) => {
      const rotated = rotate(x, headDim, spec, ropeTable(spec, positions, { numTokens }))
      expect(nmse(rotated, rotatedInFloat64(x, spec))).toBeLessThan(1e-13)
      assertClose(rotated, rotatedInFloat64(x, spec), { absolute: 2e-6 })
    },
  )

  test.each(specsToTest().map((spec) => [nameOf(spec), spec] as const))(
    '%s: keeps the norm of every pair',
    (_, spec) => {
      const rotated = rotate(x, headDim, spec, ropeTable(spec, positions, { numTokens }))
      for (let start = 0; start < x.length; start += headDim) {
        const norm = (values: Float32Array) => Math.hypot(...values.subarray(start, start + spec.rotaryDim))
        expect(norm(rotated) / norm(x)).toBeCloseTo(attentionFactor(spec), 6)
        expect(rotated.subarray(start + spec.rotaryDim, start + headDim)).toEqual(
          x.subarray(start + spec.rotaryDim, start + headDim),
        )
      }
    },
  )

  test('leaves position 0 alone, and its input too', () => {
    const spec: RopeSpec = { pairing: 'half', rotaryDim: 64, theta: 10_000, scaling: { kind: 'none' } }
    const before = x.slice()
    const rotated = rotate(x, headDim, spec, ropeTable(spec, positions))
    expect(rotated.subarray(0, 128)).toEqual(x.subarray(0, 128))
    expect(x).toEqual(before)
  })

  test('refuses rows that do not fit', () => {
    const spec: RopeSpec = { pairing: 'half', rotaryDim: 64, theta: 10_000, scaling: { kind: 'none' } }
    const table = ropeTable(spec, positions)
    expect(() => rotate(x.subarray(1), headDim, spec, table)).toThrow(ShapeError)
    expect(() => rotate(x, 32, spec, table)).toThrow(/at least rotaryDim/)
    expect(() => rotate(x, headDim, spec, ropeTable(spec, []))).toThrow(ShapeError)
    expect(rotate(new Float32Array(0), headDim, spec, ropeTable(spec, []))).toHaveLength(0)
  })
})
