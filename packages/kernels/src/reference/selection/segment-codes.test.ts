import { describe, expect, it } from 'vitest'
import type { CodeBits, SegmentBasis, VectorBits } from '../../selection.ts'
import { SegmentCodes } from './segment-codes.ts'
import { normals } from './test-numbers.ts'

const headDim = 20
const numTokens = 420
const keys = normals(4 * numTokens * headDim, 1)
const readKeys = (layer: number, kvHead: number, start: number, end: number) =>
  Array.from({ length: end - start }, (_, i) => {
    const at = ((layer * 2 + kvHead) * numTokens + start + i) * headDim
    return keys.slice(at, at + headDim)
  })

describe.each<SegmentBasis>(['channels', 'principal'])('SegmentCodes of basis %s', (basis) => {
  const shape = { numLayers: 2, numKvHeads: 2, headDim, codeBits: 2, vectorBits: 16, basis } as const

  function codesOf(...ends: number[]): SegmentCodes {
    const codes = new SegmentCodes(shape)
    for (const end of ends) codes.add(readKeys, end)
    return codes
  }

  it('tiles the sequence and forgets what a truncation cuts', () => {
    const codes = codesOf(100, 250, 300, 420)
    for (const [cut, ends] of [
      [419, [100, 250, 300]],
      [299, [100, 250]],
      [0, []],
    ] as const) {
      codes.truncate(cut)
      expect(codes.ends).toEqual(ends)
      expect(codes.read(1, 1)).toEqual(codesOf(...ends).read(1, 1))
      const again = codes.clone()
      for (const end of [100, 250, 300, 420].slice(ends.length)) again.add(readKeys, end)
      expect(again.read(0, 1)).toEqual(codesOf(100, 250, 300, 420).read(0, 1))
    }
  })

  it('clones to an index of its own', () => {
    const codes = codesOf(100, 250, 300)
    const [longer, shorter] = [codes.clone(), codes.clone()]
    longer.add(readKeys, 420)
    shorter.truncate(250)
    expect(codes.ends).toEqual([100, 250, 300])
    expect(codes.read(0, 0)).toEqual(codesOf(100, 250, 300).read(0, 0))
    expect(codes.head(0, 0).estimate(normals(headDim, 2), 1)).toHaveLength(300)
  })

  it('rebuilds keys from what it holds, to about a third of a deviation', () => {
    const { means, deviations, levels } = codesOf(numTokens).read(1, 1)
    let error = 0
    readKeys(1, 1, 0, numTokens).forEach((row, token) => {
      row.forEach((k, i) => {
        error += ((k - means[i]! - deviations[i]! * levels[token * headDim + i]!) / deviations[i]!) ** 2
      })
    })
    expect(Math.sqrt(error / (numTokens * headDim))).toBeLessThan(0.4)
  })

  it('counts bytes as native code lays them out: 11, 8 and 5 % of float16 KV at 8,000 tokens, 25 a segment', () => {
    const row = normals(64, 3)
    const share = (codeBits: CodeBits, vectorBits: VectorBits) => {
      const shape = { numLayers: 1, numKvHeads: 1, headDim: 64, codeBits, vectorBits, basis }
      const codes = new SegmentCodes(shape)
      const read = (_layer: number, _kvHead: number, start: number, end: number) => Array(end - start).fill(row)
      for (let end = 25; end <= 8000; end += 25) codes.add(read, end)
      return codes.bytes / (8000 * 2 * 64 * 2)
    }
    const segmentBytes = 25 * 16 + 4 + (basis === 'channels' ? 64 * 3 + 6 : 64 * 2 + 4)
    const basisBytes = basis === 'channels' ? 0 : 64 * (2 * 64 + 8)
    expect(share(2, 16)).toBeCloseTo(segmentBytes / 6400 + basisBytes / (8000 * 256), 12)
    expect(share(2, 16)).toBeLessThan(0.11)
    expect(share(2, 8)).toBeLessThan(0.08)
    expect(share(1, 8)).toBeLessThan(0.05)
  })
})

it('without codes an index is a thirtieth of float16 KV', () => {
  const codes = new SegmentCodes({
    numLayers: 1,
    numKvHeads: 1,
    headDim: 64,
    codeBits: 0,
    vectorBits: 16,
    basis: 'channels',
  })
  codes.add(() => Array.from({ length: 25 }, (_, i) => normals(64, i + 1)), 25)
  expect(codes.bytes / 6400).toBeLessThan(0.035)
})

it('is pending until segments of 256 tokens are in, and again when it is cut below', () => {
  const shape = { numLayers: 2, numKvHeads: 2, headDim, codeBits: 2, vectorBits: 8, basis: 'principal' } as const
  const codes = new SegmentCodes(shape)
  codes.add(readKeys, 255)
  expect(codes.pending).toBe(true)
  const { means, deviations, levels, radii } = codes.read(1, 0)
  expect(new Set(means)).toEqual(new Set([0]))
  expect(new Set(deviations)).toEqual(new Set([1]))
  expect(new Set(levels)).toEqual(new Set([0]))
  expect([...radii]).toEqual([Infinity])
  codes.add(readKeys, 257)
  expect(codes.pending).toBe(false)
  expect(codes.read(1, 0).radii.every(Number.isFinite)).toBe(true)
  expect(
    codes
      .read(1, 0)
      .levels.subarray(0, 255 * headDim)
      .some((x) => x !== 0),
  ).toBe(true)
  codes.truncate(256)
  expect([codes.pending, codes.numTokens]).toEqual([true, 255])
  expect(codes.read(1, 0).radii).toEqual(radii)
  expect(new SegmentCodes({ ...shape, basis: 'channels' }).pending).toBe(false)
})
