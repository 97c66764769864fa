import { expect, test } from 'vitest'
import { memoryOf } from './memory-fields.ts'

const config = { numLayers: 3, numKvHeads: 2 }
const rows = 3 * 2
const report = {
  numTokens: 100,
  decodeSteps: 5,
  denseSteps: 0,
  kvBytes: 100 * 60,
  indexBytes: 300,
  heldTokens: 100 * rows,
  attendedTokens: 20 * rows * 5,
  pooledTokens: 50 * rows * 5,
  peakAttendedTokens: 24 * rows,
  peakPooledTokens: 60 * rows,
  certifiedHeads: 12,
  reusedCalls: 9,
}

test('counts become means a step, layer and KV head; bytes are those of the step that read most, and the indexes', () => {
  expect(memoryOf(report, config)).toEqual({
    attendedTokensMean: 20,
    poolTokensMean: 50,
    heldTokens: 100,
    hotBytes: 24 * 60 + 36 * 30 + 300,
    warmBytes: 6000 - 24 * 60 - 36 * 30,
    movedBytesPerToken: null,
    denseSteps: 0,
    certifiedHeadsShare: 12 / (5 * rows),
    reusedStepsShare: 9 / (5 * 3),
  })
})

test('what came up from a lower tier is given a step', () => {
  expect(memoryOf(report, config, 700).movedBytesPerToken).toBe(140)
  expect(memoryOf(report, config, 0).movedBytesPerToken).toBe(0)
})

test('what was dropped is neither hot nor warm', () => {
  const { heldTokens, hotBytes, warmBytes } = memoryOf(
    { ...report, heldTokens: 30 * rows, peakPooledTokens: 0 },
    config,
  )
  expect([heldTokens, hotBytes, warmBytes]).toEqual([30, 24 * 60 + 300, 6 * 60])
})

test('never hotter than all there is', () => {
  const all = { ...report, peakAttendedTokens: 100 * rows, peakPooledTokens: 200 * rows }
  const { hotBytes, warmBytes } = memoryOf(all, config)
  expect([hotBytes, warmBytes]).toEqual([6300, 0])
})
