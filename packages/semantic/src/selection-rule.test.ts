import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { resolveRule } from './selection-rule.ts'

test('fills in the defaults', () => {
  expect(resolveRule({ budgetTokens: 128 })).toEqual({
    budgetTokens: 128,
    sinkTokens: 4,
    recentTokens: 16,
    jointHeads: true,
    poolFactor: 2,
    prefilterFactor: 0,
    query: 'current',
    emaDecay: 0.5,
    rerankSteps: 1,
    driftLimit: 0.8,
    certify: 'off',
  })
})

test('takes undefined for an option that is not given', () => {
  expect(resolveRule({ budgetTokens: 128, sinkTokens: undefined, jointHeads: undefined })).toEqual(
    resolveRule({ budgetTokens: 128 }),
  )
})

test('a budget of twice what is always visible is the least', () => {
  expect(resolveRule({ budgetTokens: 40 }).budgetTokens).toBe(40)
  expect(() => resolveRule({ budgetTokens: 39 })).toThrow(OptionError)
  expect(() => resolveRule({ budgetTokens: 39 })).toThrow(/twice what is always visible \(4 sinks, 16 recent\).*39/)
  expect(resolveRule({ budgetTokens: 2, sinkTokens: 0, recentTokens: 1 }).budgetTokens).toBe(2)
})

test.each([
  { budgetTokens: 64.5 },
  { budgetTokens: Number.NaN },
  { budgetTokens: '64' },
  { budgetTokens: 2 ** 31 },
  { budgetTokens: 64, sinkTokens: -1 },
  { budgetTokens: 64, recentTokens: 0 },
  { budgetTokens: 64, poolFactor: -1 },
  { budgetTokens: 64, poolFactor: Number.POSITIVE_INFINITY },
  { budgetTokens: 64, jointHeads: 1 },
  { budgetTokens: 64, prefilterFactor: 1 },
  { budgetTokens: 64, prefilterFactor: -1 },
  { budgetTokens: 64, query: 'max' },
  { budgetTokens: 64, emaDecay: 2 },
  { budgetTokens: 64, rerankSteps: 0 },
  { budgetTokens: 64, driftLimit: -2 },
  { budgetTokens: 64, certify: true },
  { budgetTokens: 64, certify: 'report', query: 'mean' },
  { budgetTokens: 64, certify: 'report', prefilterFactor: 4 },
  { budgetTokens: 64, certify: 'extend', poolFactor: 0 },
  {},
])('refuses %o', (options) => {
  expect(() => resolveRule(options as never)).toThrow(OptionError)
})

test('an unknown key is refused with the right spelling', () => {
  expect(() => resolveRule({ budgetTokens: 64, sinkToken: 2 } as never)).toThrow(/Did you mean sinkTokens\?/)
})
