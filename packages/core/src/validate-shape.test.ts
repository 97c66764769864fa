import { describe, expect, test } from 'vitest'
import { ShapeError } from './errors.ts'
import type { RopeSpec } from './rope-spec.ts'
import { validateKvShape, validateRopeSpec } from './validate-shape.ts'

const rope: RopeSpec = { pairing: 'half', rotaryDim: 4, theta: 10_000, scaling: { kind: 'none' } }
const layer = { numHeads: 4, numKvHeads: 2, headDim: 8, rope }

describe('validateKvShape', () => {
  test('accepts layers with and without RoPE and windows', () => {
    validateKvShape({ layers: [layer, { ...layer, rope: null, windowTokens: 128 }] })
  })

  test.each([
    ['no shape', undefined, /shape.layers: expected at least one layer/],
    ['no layers', { layers: [] }, /at least one layer/],
    ['no heads', { layers: [{ ...layer, numHeads: 0 }] }, /layers\[0\].numHeads: expected an integer >= 1/],
    [
      'KV heads that do not divide',
      { layers: [layer, { ...layer, numKvHeads: 3 }] },
      /layers\[1\].numKvHeads: expected a divisor/,
    ],
    ['a fractional head', { layers: [{ ...layer, headDim: 7.5 }] }, ShapeError],
    ['an empty window', { layers: [{ ...layer, windowTokens: 0 }] }, /windowTokens/],
    ['more rotary values than a head has', { layers: [{ ...layer, headDim: 2 }] }, /at most headDim = 2/],
    ['RoPE left out', { layers: [{ ...layer, rope: undefined }] }, /rope.pairing/],
  ])('refuses %s', (_, shape, message) => {
    expect(() => validateKvShape(shape as never)).toThrow(ShapeError)
    expect(() => validateKvShape(shape as never)).toThrow(message)
  })
})

describe('validateRopeSpec', () => {
  const yarn = { kind: 'yarn', factor: 4, originalContextTokens: 9, betaFast: 32, betaSlow: 1, attentionFactor: 1.1 }
  const llama3 = { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 9 }
  const longrope = {
    kind: 'longrope',
    shortFactors: [1, 1],
    longFactors: [2, 2],
    originalContextTokens: 9,
    attentionFactor: 1,
  }

  test.each([yarn, llama3, longrope, { kind: 'divisors', divisors: [1, 2] }, { kind: 'linear', factor: 2 }])(
    'accepts scaling %j',
    (scaling) => validateRopeSpec({ ...rope, scaling } as never),
  )

  test.each([
    ['a pairing that is not named', { ...rope, pairing: 'neox' }, /'half' or 'interleaved'/],
    ['an odd rotaryDim', { ...rope, rotaryDim: 3 }, /an even number/],
    ['a negative theta', { ...rope, theta: -1 }, /rope.theta: expected a number > 0/],
    ['no scaling', { ...rope, scaling: undefined }, /one of none, linear/],
    ['a scaling nobody knows', { ...rope, scaling: { kind: 'toString' } }, /one of none, linear/],
    ['a factor of 0', { ...rope, scaling: { kind: 'linear', factor: 0 } }, /scaling.factor/],
    ['a factor that is NaN', { ...rope, scaling: { ...yarn, factor: Number.NaN } }, /scaling.factor/],
    ['too few divisors', { ...rope, scaling: { kind: 'divisors', divisors: [1] } }, /2 numbers, one a pair/],
    ['a divisor of 0', { ...rope, scaling: { kind: 'divisors', divisors: [1, 0] } }, /divisors\[1\]/],
    [
      'frequency factors the wrong way round',
      { ...rope, scaling: { ...llama3, lowFrequencyFactor: 4 } },
      /more than lowFrequencyFactor/,
    ],
    ['betas the wrong way round', { ...rope, scaling: { ...yarn, betaSlow: 32 } }, /more than betaSlow/],
  ])('refuses %s', (_, spec, message) => {
    expect(() => validateRopeSpec(spec as never)).toThrow(ShapeError)
    expect(() => validateRopeSpec(spec as never)).toThrow(message)
  })
})
