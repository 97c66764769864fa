import { OptionError, type RopeSpec, ShapeError } from '@kvasir/core'
import { assertSameBits, nmse, seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { halfCodec } from './half-floats.ts'
import { reposition } from './reposition.ts'
import { rotate } from './rotate.ts'
import { ropeTable } from './table.ts'
import { nameOf, specsToTest } from './test-specs.ts'

const headDim = 64
const spec: RopeSpec = { pairing: 'half', rotaryDim: 64, theta: 10_000, scaling: { kind: 'none' } }
const named = specsToTest().map((each) => [nameOf(each), each] as const)

describe('reposition', () => {
  test.each(named)('%s: R(b - a) R(a) k = R(b) k up to position 131,072', (_, each) => {
    const random = seededRandom(11)
    const numRows = 64
    const raw = random.normals(numRows * 2 * headDim)
    const from = Array.from({ length: numRows }, () => random.integer(131_073))
    const to = Array.from({ length: numRows }, () => random.integer(131_073))
    const numTokens = 131_073
    const cached = rotate(raw, headDim, each, ropeTable(each, from, { numTokens }))
    const moved = reposition(cached, each, { headDim, from, to, fromNumTokens: numTokens })
    expect(nmse(moved, rotate(raw, headDim, each, ropeTable(each, to, { numTokens })))).toBeLessThan(1e-13)
    const back = reposition(moved, each, { headDim, from: to, to: from, fromNumTokens: numTokens })
    expect(nmse(back, cached)).toBeLessThan(1e-13)
  })

  test.each(named)('%s: keeps lengths, so that the attention factor stands once', (_, each) => {
    const keys = seededRandom(5).normals(3 * headDim)
    const moved = reposition(keys, each, { headDim, from: 10, to: 5000 })
    for (let start = 0; start < keys.length; start += headDim) {
      const norm = (x: Float32Array) => Math.hypot(...x.subarray(start, start + headDim))
      expect(norm(moved) / norm(keys)).toBeCloseTo(1, 6)
    }
  })

  // The bounds of a key that is rounded twice: as it was stored, and as it was moved.
  test.each([
    ['f16', 3e-7],
    ['bf16', 2e-5],
  ] as const)('%s rows: the group law, the way back and lengths for every spec', (type, bound) => {
    const { decode, encode } = halfCodec(type)
    const position = fc.nat(131_072)
    const anySpec = fc.constantFrom(...specsToTest())
    fc.assert(
      fc.property(
        anySpec,
        fc.array(fc.tuple(position, position), { minLength: 4, maxLength: 9 }),
        position,
        (each, moves, numTokens) => {
          const raw = seededRandom(numTokens).normals(moves.length * headDim)
          const [from, to] = [moves.map((move) => move[0]), moves.map((move) => move[1])]
          const exact = (positions: number[]) => rotate(raw, headDim, each, ropeTable(each, positions, { numTokens }))
          const cached = Uint16Array.from(exact(from), encode)
          const moved = reposition(cached, each, { headDim, type, from, to, fromNumTokens: numTokens })
          expect(nmse(Float32Array.from(moved, decode), exact(to))).toBeLessThan(bound)
          const back = reposition(moved, each, { headDim, type, from: to, to: from, fromNumTokens: numTokens })
          expect(nmse(Float32Array.from(back, decode), exact(from))).toBeLessThan(2 * bound)
          expect(Math.hypot(...Array.from(moved, decode)) / Math.hypot(...exact(to))).toBeCloseTo(1, 2)
          for (let at = 0; at < cached.length; at++) {
            if (at % headDim >= each.rotaryDim) expect(moved[at]).toBe(cached[at])
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  test('float32 rows: the group law and the way back for any spec, positions and length', () => {
    const position = fc.nat(131_072)
    fc.assert(
      fc.property(fc.constantFrom(...specsToTest()), position, position, position, (each, from, to, numTokens) => {
        const raw = seededRandom(from).normals(5 * headDim)
        const at = (first: number) =>
          rotate(
            raw,
            headDim,
            each,
            ropeTable(
              each,
              [0, 1, 2, 3, 4].map((row) => first + row),
              { numTokens },
            ),
          )
        const moved = reposition(at(from), each, { headDim, from, to, fromNumTokens: numTokens })
        expect(nmse(moved, at(to))).toBeLessThan(1e-13)
        const back = reposition(moved, each, { headDim, from: to, to: from, fromNumTokens: numTokens })
        expect(nmse(back, at(from))).toBeLessThan(1e-13)
      }),
      { numRuns: 300 },
    )
  })

  test.each(named.filter(([, { scaling }]) => scaling.kind === 'dynamic-ntk' || scaling.kind === 'longrope'))(
    '%s: moves keys between sequences whose frequencies differ',
    (_, each) => {
      const raw = seededRandom(7).normals(8 * headDim)
      const positions = [0, 5, 90, 1000, 2000, 2001, 2002, 2003]
      const cached = rotate(raw, headDim, each, ropeTable(each, positions, { numTokens: 2048 }))
      const to = positions.map((position) => position * 9)
      const moved = reposition(cached, each, { headDim, from: positions, to, fromNumTokens: 2048, toNumTokens: 20_000 })
      const fresh = rotate(raw, headDim, each, ropeTable(each, to, { numTokens: 20_000 }))
      expect(nmse(moved, fresh)).toBeLessThan(1e-13)
    },
  )

  test('moves a run by its first positions as it moves its rows one by one', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(100_000), fc.integer({ min: 1, max: 9 }), (from, to, numRows) => {
        const keys = seededRandom(from).normals(numRows * headDim)
        const rows = (first: number) => Array.from({ length: numRows }, (_, row) => first + row)
        const asRun = reposition(keys, spec, { headDim, from, to })
        assertSameBits(asRun, reposition(keys, spec, { headDim, from: rows(from), to: rows(to) }))
        assertSameBits(asRun, reposition(keys, spec, { headDim, from: rows(from), to }))
      }),
      { numRuns: 50 },
    )
  })

  test('keeps every bit of rows that stay, and does not touch its input', () => {
    const keys = Float32Array.of(...seededRandom(2).normals(62), -0, 0)
    const before = keys.slice()
    assertSameBits(reposition(keys, spec, { headDim, from: 9, to: 9 }), keys)
    reposition(keys, spec, { headDim, from: 9, to: 12 })
    assertSameBits(keys, before)
    const allBits = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
    expect(reposition(allBits, spec, { headDim, type: 'bf16', from: 9, to: 9 })).toEqual(allBits)
  })

  test('adds errors up when chained, which is why it starts from the origin', () => {
    const raw = seededRandom(4).normals(64 * headDim)
    const from = Array.from({ length: 64 }, (_, row) => row)
    const target = rotate(
      raw,
      headDim,
      spec,
      ropeTable(
        spec,
        from.map((position) => position + 300),
      ),
    )
    let chained = rotate(raw, headDim, spec, ropeTable(spec, from))
    const once = reposition(chained, spec, { headDim, from: 0, to: 300 })
    for (let hop = 0; hop < 100; hop++) chained = reposition(chained, spec, { headDim, from: 3 * hop, to: 3 * hop + 3 })
    expect(nmse(chained, target)).toBeGreaterThan(5 * nmse(once, target))
  })

  test('refuses what does not fit', () => {
    const keys = new Float32Array(2 * headDim)
    const options = { headDim, from: [1, 2], to: [3, 4] }
    expect(() => reposition(keys, spec, { ...options, to: [3] })).toThrow(ShapeError)
    expect(() => reposition(keys, spec, { ...options, from: [1, -2] })).toThrow(OptionError)
    expect(() => reposition(keys.subarray(1), spec, { ...options, from: 1, to: 2 })).toThrow(ShapeError)
    expect(() => reposition(keys, spec, { ...options, type: 'f16' })).toThrow(/none for a Float32Array/)
    expect(() => reposition(new Uint16Array(2 * headDim), spec, options)).toThrow(/one of f16, bf16/)
    expect(() => reposition(new Float64Array(2 * headDim) as never, spec, options)).toThrow(
      /Float32Array or Uint16Array/,
    )
    expect(() => reposition(keys, spec, { ...options, form: 1 } as never)).toThrow(/Did you mean from/)
  })
})
