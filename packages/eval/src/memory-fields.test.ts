import { expect, test } from 'vitest'
import { memoryOf } from './memory-fields.ts'

const config = { numLayers: 3, numKvHeads: 2 }
const report = { numTokens: 100, decodeSteps: 5, denseSteps: 0, reusedTokens: 0, kvBytes: 100 * 40, indexBytes: 300 }

test('counts become means a step, layer and KV head; bytes are those of attended rows, pooled keys and indexes', () => {
  const perStep = 5 * 3 * 2
  const fields = memoryOf({ ...report, attendedTokens: 20 * perStep, pooledTokens: 50 * perStep }, config)
  expect(fields).toEqual({
    attendedTokensMean: 20,
    poolTokensMean: 50,
    heldTokens: 100,
    hotBytes: 20 * 40 + 30 * 20 + 300,
    warmBytes: 4000 - 20 * 40 - 30 * 20,
    movedBytesPerToken: 0,
    denseSteps: 0,
  })
})

test('never hotter than all there is', () => {
  const perStep = 5 * 3 * 2
  const fields = memoryOf({ ...report, attendedTokens: 100 * perStep, pooledTokens: 200 * perStep }, config)
  expect([fields.hotBytes, fields.warmBytes]).toEqual([4300, 0])
})
