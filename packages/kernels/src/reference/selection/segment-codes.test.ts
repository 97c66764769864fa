import { describe, expect, it } from 'vitest'
import type { CodeBits, VectorBits } from '../../selection.ts'
import { SegmentCodes } from './segment-codes.ts'
import { normals } from './test-numbers.ts'

const shape = { numLayers: 2, numKvHeads: 2, headDim: 20, codeBits: 2, vectorBits: 16 } as const
const keys = normals(4 * 60 * 20, 1)
const readKeys = (layer: number, kvHead: number, start: number, end: number) =>
  Array.from({ length: end - start }, (_, i) => {
    const at = ((layer * 2 + kvHead) * 60 + start + i) * 20
    return keys.slice(at, at + 20)
  })

function codesOf(...ends: number[]): SegmentCodes {
  const codes = new SegmentCodes(shape)
  for (const end of ends) codes.add(readKeys, end)
  return codes
}

describe('SegmentCodes', () => {
  it('tiles the sequence and forgets what a truncation cuts', () => {
    const codes = codesOf(10, 25, 60)
    expect(codes.numTokens).toBe(60)
    codes.truncate(59)
    expect(codes.ends).toEqual([10, 25])
    expect(codes.read(1, 1)).toEqual(codesOf(10, 25).read(1, 1))
    codes.add(readKeys, 60)
    expect(codes.read(0, 1)).toEqual(codesOf(10, 25, 60).read(0, 1))
  })

  it('clones to an index of its own', () => {
    const codes = codesOf(10, 25)
    const copy = codes.clone()
    codes.add(readKeys, 60)
    expect(copy.ends).toEqual([10, 25])
    expect(copy.read(0, 0)).toEqual(codesOf(10, 25).read(0, 0))
  })

  it('estimates any span as part of the whole', () => {
    const codes = codesOf(10, 25, 60)
    const q = normals(20, 2)
    const whole = codes.estimate(1, 0, q, 0.2, 0, 60)
    expect(whole).toHaveLength(60)
    expect(codes.estimate(1, 0, q, 0.2, 7, 30)).toEqual(whole.slice(7, 30))
  })

  it('rebuilds keys from what it holds, to about a third of a deviation', () => {
    const { means, deviations, levels } = codesOf(60).read(1, 1)
    const rows = readKeys(1, 1, 0, 60)
    let error = 0
    rows.forEach((row, token) => {
      row.forEach((k, i) => {
        error += ((k - means[i]! - deviations[i]! * levels[token * 20 + i]!) / deviations[i]!) ** 2
      })
    })
    expect(Math.sqrt(error / (60 * 20))).toBeLessThan(0.4)
  })

  it('counts bytes as native code lays them out: 11, 8 and 5 % of float16 KV at 25 tokens a segment', () => {
    const share = (codeBits: CodeBits, vectorBits: VectorBits) => {
      const big = new SegmentCodes({ numLayers: 1, numKvHeads: 1, headDim: 64, codeBits, vectorBits })
      big.add(() => Array.from({ length: 25 }, (_, i) => normals(64, i + 1)), 25)
      return big.bytes / (25 * 2 * 64 * 2)
    }
    expect(share(2, 16)).toBe((25 * 16 + 64 * 3 + 6) / 6400)
    expect(share(2, 16)).toBeLessThan(0.11)
    expect(share(2, 8)).toBeLessThan(0.08)
    expect(share(1, 8)).toBeLessThan(0.05)
    expect(share(0, 16)).toBeLessThan(0.035)
  })
})
