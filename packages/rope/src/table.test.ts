import type { RopeSpec } from '@kvasir/core'
import { expect, test } from 'vitest'
import { ropeTable } from './table.ts'

const spec: RopeSpec = { pairing: 'half', rotaryDim: 4, theta: 10_000, scaling: { kind: 'none' } }

test('has a row a position and a value a pair', () => {
  const { numRows, cos, sin } = ropeTable(spec, [0, 3])
  expect(numRows).toBe(2)
  expect([...cos]).toEqual([1, 1, Math.cos(3), Math.cos(0.03)].map(Math.fround))
  expect([...sin]).toEqual([0, 0, Math.sin(3), Math.sin(0.03)].map(Math.fround))
})

test('carries the attention factor', () => {
  const scaling = {
    kind: 'longrope',
    shortFactors: [1, 1],
    longFactors: [1, 1],
    originalContextTokens: 9,
    attentionFactor: 1.5,
  } as const
  expect([...ropeTable({ ...spec, scaling }, [0]).cos]).toEqual([1.5, 1.5])
})

test('rounds once, at far positions too', () => {
  const { cos } = ropeTable(spec, [131_072])
  // By a Taylor series in 60 decimal digits.
  expect(cos[0]).toBe(Math.fround(0.04209081525029623))
})
