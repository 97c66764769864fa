import { expect, test } from 'vitest'
import { OptionError } from './errors.ts'
import { checkInteger, checkKeys, checkNumber, checkOneOf } from './options.ts'

test('unknown keys are refused, with the nearest right spelling', () => {
  const known = ['budgetTokens', 'sinkTokens']
  checkKeys('p', { sinkTokens: 1 }, known)
  expect(() => checkKeys('p', { sinkToken: 1 }, known)).toThrow('Did you mean sinkTokens?')
  expect(() => checkKeys('p', { SINKTOKENS: 1 }, known)).toThrow('Did you mean sinkTokens?')
  expect(() => checkKeys('p', { budgetTokns: 1 }, known)).toThrow('Did you mean budgetTokens?')
  expect(() => checkKeys('p', { temperature: 1 }, known)).toThrow(
    /^p.temperature: expected one of budgetTokens, sinkTokens, got "temperature".$/,
  )
})

test('integers and numbers are held to their range', () => {
  expect(checkInteger('n', 3, 1, 3)).toBe(3)
  expect(checkNumber('x', 0.5, 0, 1)).toBe(0.5)
  for (const wrong of [0, 4, 1.5, Number.NaN, '2', undefined]) {
    expect(() => checkInteger('n', wrong, 1, 3)).toThrow(OptionError)
  }
  for (const wrong of [-0.1, 1.1, Number.NaN, '0.5', null])
    expect(() => checkNumber('x', wrong, 0, 1)).toThrow(OptionError)
  expect(() => checkNumber('x', Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY)).toThrow(OptionError)
  expect(() => checkInteger('n', -1, 0)).toThrow('expected an integer >= 0, got -1')
})

test('choices are held to what is allowed', () => {
  expect(checkOneOf('mode', 'paper', ['paper', 'kvasir'])).toBe('paper')
  expect(() => checkOneOf('mode', 'papre', ['paper', 'kvasir'])).toThrow('expected one of paper, kvasir, got "papre"')
})
