import { expect, test } from 'vitest'
import { drawOffsets, drawPlanes } from './planes.ts'

const key = new Uint8Array(32).fill(3)
const n = 64 * 1000

test('planes are normal: mean, variance and fourth moment', () => {
  const planes = drawPlanes(key, 64, 1000)
  const moment = (power: number) => planes.reduce((sum, value) => sum + value ** power, 0) / n
  expect(Math.abs(moment(1))).toBeLessThan(4 / Math.sqrt(n))
  expect(Math.abs(moment(2) - 1)).toBeLessThan(4 * Math.sqrt(2 / n))
  expect(Math.abs(moment(4) - 3)).toBeLessThan(4 * Math.sqrt(96 / n))
})

test('fewer planes are the first of more, of odd dims too', () => {
  for (const dim of [1, 7, 64])
    expect(drawPlanes(key, 64, dim)).toEqual(drawPlanes(key, 128, dim).subarray(0, 64 * dim))
})

test('another key gives unrelated planes', () => {
  const [a, b] = [
    drawPlanes(key, 64, 1000),
    drawPlanes(
      key.map((byte) => byte ^ 1),
      64,
      1000,
    ),
  ]
  const correlation = a.reduce((sum, value, i) => sum + value * (b[i] as number), 0) / n
  expect(Math.abs(correlation)).toBeLessThan(4 / Math.sqrt(n))
})

test('a key gives the planes that it always gave', () => {
  expect(
    Array.from(drawPlanes(new Uint8Array(32), 64, 3).subarray(0, 3), (value) => value.toFixed(5)),
  ).toMatchInlineSnapshot(`
    [
      "-1.19249",
      "-0.28432",
      "-2.20996",
    ]
  `)
})

test('offsets are uniform in a cell and no part of the stream of planes', () => {
  const offsets = drawOffsets(key, n, 4)
  const mean = offsets.reduce((sum, value) => sum + value, 0) / n
  expect(Math.abs(mean - 2)).toBeLessThan(4 * Math.sqrt(16 / 12 / n))
  expect(Math.min(...offsets.subarray(0, 1000))).toBeGreaterThan(0)
  expect(Math.max(...offsets.subarray(0, 1000))).toBeLessThan(4)
})
