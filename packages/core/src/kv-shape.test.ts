import { expect, test } from 'vitest'
import { kvBytesPerToken } from './kv-shape.ts'

test('a token takes K and V of every KV head of every layer', () => {
  const layer = { numHeads: 32, numKvHeads: 8, headDim: 128, rope: null }
  expect(kvBytesPerToken({ layers: Array.from({ length: 32 }, () => layer) }, 2)).toBe(131_072)
  expect(kvBytesPerToken({ layers: [layer, { ...layer, numKvHeads: 1 }] }, 4)).toBe(2 * 9 * 128 * 4)
})
