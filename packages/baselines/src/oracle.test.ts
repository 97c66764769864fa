import { CapabilityError, OptionError } from '@kvasir/core'
import { toyEngine } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { oracleTokens } from './oracle.ts'

test('an engine without exact selection is refused, and so is one that shares no kernels', () => {
  const { profile } = toyEngine()
  expect(() => oracleTokens({ budgetTokens: 8 }).bind(profile)).toThrow(/select\.native:exact-scores/)
  const claiming = { ...profile, capabilities: new Set(['select.native:exact-scores']) }
  expect(() => oracleTokens({ budgetTokens: 8 }).bind(claiming)).toThrow(CapabilityError)
})

test.each([{}, { budgetTokens: 0 }, { budgetTokens: 2 ** 31 }, { budgetTokens: 8, jointHeads: 1 }])(
  'refuses %o',
  (options) => {
    expect(() => oracleTokens(options as never)).toThrow(OptionError)
  },
)

test('an unknown key is refused with the right spelling', () => {
  expect(() => oracleTokens({ budgetTokens: 8, jointHead: true } as never)).toThrow(/Did you mean jointHeads\?/)
})
