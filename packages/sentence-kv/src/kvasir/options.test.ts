import { OptionError } from '@kvasir/core'
import { resolveRule } from '@kvasir/semantic'
import { describe, expect, test } from 'vitest'
import { resolveKvasir } from './options.ts'

test('defaults', () => {
  expect(resolveKvasir({ budgetTokens: 256 })).toEqual({
    mode: 'kvasir',
    rule: resolveRule({ budgetTokens: 256, sinkTokens: 4, recentTokens: 16, poolFactor: 2, jointHeads: true }),
    codeBits: 2,
    vectorBits: 8,
    basis: 'principal',
    minSegmentTokens: 4,
    maxSegmentTokens: 64,
    pieceTokens: null,
    keptTokens: null,
  })
})

test('sentences are shorter where the budget is small: sinks and two of them fit in it', () => {
  expect(resolveKvasir({ budgetTokens: 64 }).maxSegmentTokens).toBe(30)
  expect(resolveKvasir({ budgetTokens: 40 }).maxSegmentTokens).toBe(18)
  const least = resolveKvasir({ budgetTokens: 2, sinkTokens: 0, recentTokens: 1 })
  expect([least.minSegmentTokens, least.maxSegmentTokens]).toEqual([1, 1])
})

test('codes are made in principal channels where that can be', () => {
  const basisOf = (options: object) => resolveKvasir({ budgetTokens: 256, ...options }).basis
  expect([{ codeBits: 1 }, { certify: 'extend' }, { poolFactor: 0 }].map(basisOf)).toEqual(Array(3).fill('principal'))
  expect([{ codeBits: 0 }, { prefilterFactor: 4 }, { basis: 'channels' }].map(basisOf)).toEqual(
    Array(3).fill('channels'),
  )
})

test('what stays of a prompt is a multiple of the budget', () => {
  expect(resolveKvasir({ budgetTokens: 100, keep: 2.5 }).keptTokens).toBe(250)
  expect(resolveKvasir({ budgetTokens: 100, keep: 'all' }).keptTokens).toBeNull()
})

describe('misuse', () => {
  test('a budget below what is always kept', () => {
    expect(() => resolveKvasir({ budgetTokens: 16 })).toThrow(OptionError)
    expect(() => resolveKvasir({ budgetTokens: 16 })).toThrow(/budgetTokens.*lower sinkTokens and recentTokens/)
  })

  test('an unknown key, with the right spelling', () => {
    expect(() => resolveKvasir({ budgetTokens: 64, sinkToken: 4 } as never)).toThrow(/Did you mean sinkTokens\?/)
    expect(() => resolveKvasir({ budget: 64 } as never)).toThrow(/Did you mean budgetTokens\?/)
  })

  test.each([
    { codeBits: 3 },
    { codeBits: '2' },
    { vectorBits: 4 },
    { basis: 'pca' },
    { basis: 'principal', codeBits: 0 },
    { basis: 'principal', prefilterFactor: 4 },
    { query: 'last' },
    { emaDecay: 2 },
    { rerankSteps: 0 },
    { driftLimit: -2 },
    { prefilterFactor: 1 },
    { certify: 'yes' },
    { certify: 'report', query: 'mean' },
    { minSegmentTokens: 0 },
    { minSegmentTokens: 65 },
    { maxSegmentTokens: 200 },
    { maxSegmentTokens: 2, minSegmentTokens: 3 },
    { poolFactor: -1 },
    { jointHeads: 'yes' },
    { recentTokens: 0 },
    { keep: 0.5 },
    { keep: 'most' },
    { pieceTokens: 0 },
    { windowTokens: 16 },
  ])('%o', (options) => {
    expect(() => resolveKvasir({ budgetTokens: 128, ...options } as never)).toThrow(OptionError)
  })
})
