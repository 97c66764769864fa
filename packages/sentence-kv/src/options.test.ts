import { OptionError } from '@kvasir/core'
import { describe, expect, test } from 'vitest'
import { resolveSentenceKv } from './options.ts'

test('defaults', () => {
  expect(resolveSentenceKv({ budgetTokens: 256 })).toEqual({
    rule: { budgetTokens: 256, sinkTokens: 4, recentTokens: 16, poolFactor: 2, jointHeads: true },
    codeBits: 2,
    minSegmentTokens: 4,
    maxSegmentTokens: 64,
  })
})

test('sentences are shorter where the budget is small: sinks and two of them fit in it', () => {
  expect(resolveSentenceKv({ budgetTokens: 64 }).maxSegmentTokens).toBe(30)
  expect(resolveSentenceKv({ budgetTokens: 40 }).maxSegmentTokens).toBe(18)
  const least = resolveSentenceKv({ budgetTokens: 2, sinkTokens: 0, recentTokens: 1 })
  expect([least.minSegmentTokens, least.maxSegmentTokens]).toEqual([1, 1])
})

describe('misuse', () => {
  test('a budget below what is always kept', () => {
    expect(() => resolveSentenceKv({ budgetTokens: 16 })).toThrow(OptionError)
    expect(() => resolveSentenceKv({ budgetTokens: 16 })).toThrow(/budgetTokens.*lower sinkTokens and recentTokens/)
  })

  test('an unknown key, with the right spelling', () => {
    expect(() => resolveSentenceKv({ budgetTokens: 64, sinkToken: 4 } as never)).toThrow(/Did you mean sinkTokens\?/)
    expect(() => resolveSentenceKv({ budget: 64 } as never)).toThrow(/Did you mean budgetTokens\?/)
  })

  test('an unknown mode, naming the one there is', () => {
    expect(() => resolveSentenceKv({ budgetTokens: 64, mode: 'paper' as never })).toThrow(/mode: .*kvasir.*paper/)
  })

  test.each([
    { codeBits: 3 },
    { codeBits: '2' },
    { minSegmentTokens: 0 },
    { minSegmentTokens: 65 },
    { maxSegmentTokens: 200 },
    { maxSegmentTokens: 2, minSegmentTokens: 3 },
    { poolFactor: -1 },
    { jointHeads: 'yes' },
    { recentTokens: 0 },
  ])('%o', (options) => {
    expect(() => resolveSentenceKv({ budgetTokens: 128, ...options } as never)).toThrow(OptionError)
  })
})
