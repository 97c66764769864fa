import { OptionError, type RopeSpec, ShapeError } from '@kvasir/core'
import { nmse, seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { reposition } from './reposition.ts'
import { rotate } from './rotate.ts'
import { ropeTable } from './table.ts'
import { nameOf, specsToTest } from './test-specs.ts'
import { turnTable } from './turns.ts'

const headDim = 64
const position = fc.nat(131_072)
const named = specsToTest().map((spec) => [nameOf(spec), spec] as const)

describe('turnTable', () => {
  test.each(named)('%s: turns rows as reposition does', (_, spec) => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ from: position, to: position }), { maxLength: 5 }),
        position,
        (turns, length) => {
          const keys = seededRandom(length).normals(turns.length * headDim)
          const options = { fromNumTokens: length, toNumTokens: 2 * length }
          const turned = rotate(keys, headDim, spec, { numRows: turns.length, ...turnTable(spec, turns, options) })
          const [from, to] = [turns.map((turn) => turn.from), turns.map((turn) => turn.to)]
          const moved = reposition(keys, spec, { headDim, from, to, ...options })
          expect(turns.length === 0 ? 0 : nmse(turned, moved)).toBeLessThan(1e-13)
        },
      ),
      { numRuns: 20 },
    )
  })

  test.each(named)('%s: takes keys rotated at one position to those rotated at the other', (_, spec) => {
    const turns = [
      { from: 131_072, to: 0 },
      { from: 3, to: 131_071 },
      { from: 900, to: 5000 },
    ]
    const at = (end: 'from' | 'to', numTokens: number) => {
      const positions = turns.map((turn) => turn[end])
      return rotate(raw, headDim, spec, ropeTable(spec, positions, { numTokens }))
    }
    const raw = seededRandom(3).normals(turns.length * headDim)
    const table = turnTable(spec, turns, { fromNumTokens: 2000, toNumTokens: 140_000 })
    const turned = rotate(at('from', 2000), headDim, spec, { numRows: turns.length, ...table })
    expect(nmse(turned, at('to', 140_000))).toBeLessThan(1e-13)
  })

  test.each(named)('%s: is of unit length, and a turn to the same place is none', (_, spec) => {
    const { cos, sin } = turnTable(spec, [
      { from: 7, to: 90_001 },
      { from: 12_345, to: 12_345 },
    ])
    const pairs = spec.rotaryDim / 2
    for (const [pair, value] of cos.entries()) expect(Math.hypot(value, sin[pair]!)).toBeCloseTo(1, 6)
    expect([...cos.subarray(pairs)]).toEqual(Array(pairs).fill(1))
    expect([...sin.subarray(pairs)].map(Math.abs)).toEqual(Array(pairs).fill(0))
  })

  test('refuses what does not fit', () => {
    const spec: RopeSpec = { pairing: 'half', rotaryDim: 64, theta: 10_000, scaling: { kind: 'none' } }
    expect(() => turnTable(spec, [{ from: 0, to: -1 }])).toThrow(OptionError)
    expect(() => turnTable(spec, [{ from: 0.5, to: 1 }])).toThrow(/turns\[0\]\.from/)
    expect(() => turnTable({ ...spec, rotaryDim: 7 }, [])).toThrow(ShapeError)
    expect(() => turnTable(spec, [], { numTokens: 4 } as never)).toThrow(OptionError)
    expect(turnTable(spec, []).cos).toHaveLength(0)
  })
})
