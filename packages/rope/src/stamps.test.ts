import { OptionError, ProvenanceError, type RopeSpec, type RopeStamp, ShapeError } from '@kvasir/core'
import { assertSameBits, nmse, seededRandom } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { rotate } from './rotate.ts'
import { checkStamps, moveStamped, perLayer, stampsOf } from './stamps.ts'
import { ropeTable } from './table.ts'
import { scalingsOf, specsToTest } from './test-specs.ts'
import { turnTable } from './turns.ts'

const local: RopeSpec = { pairing: 'half', rotaryDim: 64, theta: 10_000, scaling: { kind: 'none' } }
const global: RopeSpec = { ...local, theta: 1_000_000 }
/** A global layer after two local ones, the last layer without RoPE. */
const ropes = [local, { ...local }, global, local, null]

describe('perLayer', () => {
  test('shares what layers of equal specs need, and gives null for layers without', () => {
    const seen: RopeSpec[] = []
    const tables = perLayer(ropes, (spec) => {
      seen.push(spec)
      return turnTable(spec, [{ from: 0, to: 9 }])
    })
    expect(seen).toEqual([local, global])
    expect(tables[1]).toBe(tables[0])
    expect(tables[3]).toBe(tables[0])
    expect(tables[2]).toEqual(turnTable(global, [{ from: 0, to: 9 }]))
    expect(tables[4]).toBeNull()
  })
})

describe('checkStamps', () => {
  test('accepts keys of the same model, wherever and in however long a sequence they stood', () => {
    checkStamps(ropes, stampsOf(ropes))
    checkStamps(ropes, stampsOf(ropes, { origin: 500, numTokens: 9000 }))
  })

  test.each([
    ['theta', { ...global, theta: 500_000 }, /theta: 500000, not 1000000/],
    ['pairing', { ...global, pairing: 'interleaved' }, /pairing: .*interleaved/],
    ['rotaryDim', { ...global, rotaryDim: 32 }, /rotaryDim: 32, not 64/],
    ['scaling.kind', { ...global, scaling: { kind: 'linear', factor: 2 } }, /scaling\.kind: .*linear/],
  ] as const)('refuses another %s by name, and names the layer', (_, other, message) => {
    const stamps = stampsOf([local, local, other as RopeSpec, local, null])
    expect(() => checkStamps(ropes, stamps)).toThrow(ShapeError)
    expect(() => checkStamps(ropes, stamps)).toThrow(/stamps\[2\]/)
    expect(() => checkStamps(ropes, stamps)).toThrow(message)
  })

  test.each(scalingsOf(64).map((scaling) => [scaling.kind, scaling] as const))(
    '%s: refuses any changed number of it',
    (_, scaling) => {
      const spec: RopeSpec = { ...local, scaling }
      for (const [name, value] of Object.entries(scaling)) {
        if (name === 'kind') continue
        const changed = Array.isArray(value)
          ? value.map((each, i) => (i === 7 ? each * 1.5 : each))
          : (value as number) * 1.5
        const stamps = stampsOf([{ ...spec, scaling: { ...scaling, [name]: changed } as never }])
        expect(() => checkStamps([spec], stamps)).toThrow(`scaling.${name}`)
      }
      checkStamps([spec], stampsOf([structuredClone(spec)]))
    },
  )

  test('tells layers with RoPE from those without, and counts them', () => {
    expect(() => checkStamps([null], stampsOf([local]))).toThrow(/stamps\[0\]/)
    expect(() => checkStamps([local], [{ rotated: false }])).toThrow(/stamps\[0\]/)
    expect(() => checkStamps(ropes, stampsOf([local]))).toThrow(/5 stamps/)
  })
})

describe('moveStamped', () => {
  const headDim = 64
  const raw = seededRandom(8).normals(6 * 2 * headDim)
  const at = (spec: RopeSpec, origin: number, numTokens: number) => {
    const positions = Array.from({ length: 6 }, (_, row) => origin + row)
    return rotate(raw, headDim, spec, ropeTable(spec, positions, { numTokens }))
  }

  test.each(specsToTest().map((spec) => [spec.scaling.kind, spec.pairing, spec.rotaryDim, spec] as const))(
    '%s, %s, %i: between places and lengths of sequences, the attention factor once',
    (_, __, ___, spec) => {
      const [stamp] = stampsOf([spec], { origin: 40, numTokens: 3000 })
      const moved = moveStamped(at(spec, 40, 3000), stamp!, { headDim, numKvHeads: 2, origin: 7000, numTokens: 9000 })
      expect(nmse(moved.keys, at(spec, 7000, 9000))).toBeLessThan(1e-13)
      expect(moved.stamp).toEqual({ rotated: true, spec, origin: 7000, numTokens: 9000, turned: true })
    },
  )

  test('refuses keys that were moved before', () => {
    const options = { headDim, numKvHeads: 2, origin: 7 }
    const once = moveStamped(raw, stampsOf([local])[0]!, options)
    expect(() => moveStamped(once.keys, once.stamp, options)).toThrow(ProvenanceError)
    checkStamps([local], [once.stamp])
  })

  test('gives keys without RoPE back as they are, in a new array', () => {
    const stamp: RopeStamp = { rotated: false }
    const moved = moveStamped(raw, stamp, { headDim, origin: 12 })
    assertSameBits(moved.keys, raw)
    expect(moved.keys).not.toBe(raw)
    expect(moved.stamp).toBe(stamp)
  })

  test('refuses what does not fit', () => {
    const [stamp] = stampsOf([local])
    expect(() => moveStamped(raw, stamp!, { headDim, numKvHeads: 5, origin: 0 })).toThrow(ShapeError)
    expect(() => moveStamped(raw, stamp!, { headDim, origin: -1 })).toThrow(OptionError)
    expect(() => moveStamped(raw, stamp!, { headDim, origin: 1, from: 2 } as never)).toThrow(OptionError)
    expect(() => stampsOf([local], { origin: 0.5 })).toThrow(OptionError)
  })
})
