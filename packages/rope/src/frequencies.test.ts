import { type RopeSpec, ShapeError } from '@kvasir/core'
import { describe, expect, test } from 'vitest'
import { attentionFactor, inverseFrequencies } from './frequencies.ts'
import { nameOf, scalingsOf, specsToTest } from './test-specs.ts'

function specOf(kind: string, rotaryDim = 64, theta = 500_000): RopeSpec {
  const scaling = scalingsOf(rotaryDim).find((candidate) => candidate.kind === kind)!
  return { pairing: 'half', rotaryDim, theta, scaling }
}

const plain = Array.from({ length: 32 }, (_, pair) => Math.exp((-pair / 32) * Math.log(500_000)))

describe('inverseFrequencies', () => {
  test.each(specsToTest().map((spec) => [nameOf(spec), spec] as const))('%s: positive and falling', (_, spec) => {
    const frequencies = [...inverseFrequencies(spec, 100_000)]
    expect(frequencies).toHaveLength(spec.rotaryDim / 2)
    for (const frequency of frequencies) expect(frequency).toBeGreaterThan(0)
    expect(frequencies).toEqual([...frequencies].sort((a, b) => b - a))
  })

  test('none: a geometric series from 1', () => {
    const frequencies = inverseFrequencies(specOf('none'))
    for (const [pair, value] of plain.entries()) expect(frequencies[pair]).toBeCloseTo(value, 14)
  })

  test('linear: every pair slowed alike; divisors: each by its own', () => {
    const linear = inverseFrequencies(specOf('linear'))
    const divided = inverseFrequencies(specOf('divisors'))
    plain.forEach((value, pair) => {
      expect(linear[pair] * 4).toBeCloseTo(value, 14)
      expect(divided[pair] * (pair + 1)).toBeCloseTo(value, 14)
    })
  })

  test('llama3: by wavelength, as the released model code states it', () => {
    const frequencies = inverseFrequencies(specOf('llama3'))
    const kinds = new Set<string>()
    plain.forEach((value, pair) => {
      const wavelength = (2 * Math.PI) / value
      let expected = value
      if (wavelength > 8192) expected = value / 8
      else if (wavelength >= 2048) {
        const smooth = (8192 / wavelength - 1) / 3
        expected = ((1 - smooth) * value) / 8 + smooth * value
      }
      kinds.add(expected === value ? 'kept' : wavelength > 8192 ? 'stretched' : 'blended')
      expect(frequencies[pair] / expected).toBeCloseTo(1, 13)
    })
    expect(kinds.size).toBe(3)
  })

  test('yarn: fast pairs kept, slow pairs interpolated, a linear ramp between', () => {
    const frequencies = inverseFrequencies(specOf('yarn'))
    const slowdown = plain.map((value, pair) => value / frequencies[pair])
    const turns = plain.map((value) => (32_768 * value) / (2 * Math.PI))
    turns.forEach((count, pair) => {
      if (count > 32) expect(slowdown[pair]).toBeCloseTo(1, 12)
      // The ramp ends at the first whole pair that turns less than once.
      if (pair > 0 && turns[pair - 1] < 1) expect(slowdown[pair]).toBeCloseTo(4, 12)
    })
    const kept = slowdown
      .map((slow) => (1 / slow - 1 / 4) / (3 / 4))
      .filter((share) => share > 1e-9 && share < 1 - 1e-9)
    expect(kept.length).toBeGreaterThan(4)
    for (let at = 2; at < kept.length; at++) expect(kept[at] - kept[at - 1]).toBeCloseTo(kept[1] - kept[0], 9)
  })

  test('dynamic-ntk: plain within the trained context, then a theta that grows with the sequence', () => {
    const spec = specOf('dynamic-ntk')
    const frequencies = inverseFrequencies(spec, 2048)
    for (const [pair, value] of plain.entries()) expect(frequencies[pair] / value).toBeCloseTo(1, 12)
    // Twice the context at factor 2: theta * 3^(64/62), so the slowest pair is 3 times slower.
    const longer = inverseFrequencies(spec, 4096)
    expect(longer[0]).toBe(1)
    expect(plain[31] / longer[31]).toBeCloseTo(3, 12)
  })

  test('longrope: short factors up to the trained context, long ones beyond', () => {
    const spec = specOf('longrope')
    const [short, long] = [inverseFrequencies(spec, 4096), inverseFrequencies(spec, 4097)]
    expect(plain[10] / short[10]).toBeCloseTo(1.5, 12)
    expect(plain[10] / long[10]).toBeCloseTo(101, 10)
  })

  test('refuses specs that are not whole', () => {
    const spec = specOf('none')
    for (const wrong of [
      { ...spec, pairing: undefined },
      { ...spec, rotaryDim: 3 },
      { ...spec, theta: 0 },
      { ...spec, scaling: { kind: 'divisors', divisors: [1] } },
      { ...spec, scaling: { kind: 'ntk' } },
    ]) {
      expect(() => inverseFrequencies(wrong as never)).toThrow(ShapeError)
    }
  })
})

test('attentionFactor is that of YaRN and LongRoPE, else 1', () => {
  expect(attentionFactor(specOf('yarn'))).toBe(0.1 * Math.log(4) + 1)
  expect(attentionFactor(specOf('longrope'))).toBe(1.19)
  for (const kind of ['none', 'linear', 'llama3', 'divisors', 'dynamic-ntk'])
    expect(attentionFactor(specOf(kind))).toBe(1)
})
