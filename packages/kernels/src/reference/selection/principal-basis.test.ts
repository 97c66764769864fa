import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CodeBits } from '../../selection.ts'
import { channelBits, codeWords, principalBasis } from './principal-basis.ts'
import { normals } from './test-numbers.ts'

const counts = (bits: readonly CodeBits[]) => [4, 2, 1, 0].map((b) => bits.filter((x) => x === b).length)

describe('channelBits', () => {
  it.each([
    // codeBits, headDim, channels of 4, 2, 1 and 0 bits
    [2, 64, [16, 16, 32, 0]],
    [2, 128, [32, 32, 64, 0]],
    [2, 80, [16, 32, 32, 0]],
    [2, 16, [0, 16, 0, 0]],
    [2, 1, [0, 1, 0, 0]],
    [1, 64, [8, 16, 0, 40]],
    [1, 128, [16, 32, 0, 80]],
    [1, 80, [8, 32, 0, 40]],
    [4, 64, [64, 0, 0, 0]],
    [4, 1, [1, 0, 0, 0]],
  ] as const)('codeBits %i, headDim %i', (codeBits, headDim, expected) => {
    expect(counts(channelBits(codeBits, headDim))).toEqual(expected)
  })

  it('never takes more words than there are, and never gives a later channel more bits', () => {
    fc.assert(
      fc.property(fc.constantFrom<CodeBits>(1, 2, 4), fc.integer({ min: 1, max: 512 }), (codeBits, headDim) => {
        const bits = channelBits(codeBits, headDim)
        expect(bits).toHaveLength(headDim)
        expect(bits.reduce<number>((sum, b) => sum + b, 0)).toBeLessThanOrEqual(32 * codeWords(codeBits, headDim))
        expect([...bits].sort((a, b) => b - a)).toEqual(bits)
        if (codeBits > 1) expect(bits).not.toContain(0)
      }),
    )
  })
})

describe('principalBasis', () => {
  const residuals = (count: number, dim: number, deviations: (i: number) => number) =>
    Array.from({ length: count }, (_, t) => normals(dim, t + 1).map((x, i) => x * deviations(i)))

  it('orders channels by variance, and has steps in proportion to the deviation', () => {
    const channels = principalBasis(
      residuals(2000, 6, (i) => [1, 5, 2, 4, 3, 6][i]!),
      4,
    )
    const main = channels.map(({ direction }) => direction.map(Math.abs).indexOf(Math.max(...direction.map(Math.abs))))
    expect(main).toEqual([5, 1, 3, 4, 2, 0])
    channels.forEach(({ step, bits }, place) => {
      expect(bits).toBe(4)
      expect(step / 0.419).toBeGreaterThan((6 - place) * 0.93)
      expect(step / 0.419).toBeLessThan((6 - place) * 1.07)
    })
  })

  it('finds a direction that no channel has to itself', () => {
    const along = [0.5, -0.5, 0.5, 0.5]
    const rows = Array.from({ length: 500 }, (_, t) => {
      const [size] = normals(1, t + 1)
      return normals(4, t + 1000).map((x, i) => 0.1 * x + 3 * size! * along[i]!)
    })
    const [first] = principalBasis(rows, 2)
    const sign = Math.sign(first!.direction[0]!)
    first!.direction.forEach((x, i) => {
      expect(sign * x).toBeCloseTo(along[i]!, 1)
    })
  })

  it('has channels of step 0 for keys that do not vary', () => {
    const channels = principalBasis([new Float32Array(3), new Float32Array(3)], 2)
    expect(channels.map(({ step }) => step)).toEqual([0, 0, 0])
    expect(channels.map(({ direction }) => [...direction])).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
  })
})
