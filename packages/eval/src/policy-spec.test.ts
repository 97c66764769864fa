import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import { describe, expect, test } from 'vitest'
import { policies, policyNames } from './policies.ts'
import { makePolicy, parsePolicySpec, planArms } from './policy-spec.ts'

describe('a SPEC', () => {
  test('is a name and options, with or without their unit', () => {
    expect(parsePolicySpec('full')).toEqual({ text: 'full', name: 'full', options: {} })
    const text = 'sentence-kv:budget=64,sinkTokens=2,jointHeads=false,mode=kvasir'
    const options = { budgetTokens: 64, sinkTokens: 2, jointHeads: false, mode: 'kvasir' }
    expect(parsePolicySpec(text)).toEqual({ text, name: 'sentence-kv', options })
  })

  test.each([
    ['windows', /one of full, window, random, oracle, sentence-kv, .*got "windows"/],
    ['', /one of full/],
    ['toString', /one of full/],
    ['full:budget=3', /policy full: expected no keys, got "budget=3"/],
    ['window:keep=2', /out of budget, sink, renumber, got "keep=2"/],
    ['window:', /got ""/],
    ['window:sink', /got "sink"/],
    ['window:sink=', /got "sink="/],
    ['window:sink=1,sink=2', /each key once.*got "sink=2"/],
    ['window:sink=1,,budget=9', /got ""/],
  ])('%j is refused with what is allowed', (text, message) => {
    expect(() => parsePolicySpec(text)).toThrow(OptionError)
    expect(() => parsePolicySpec(text)).toThrow(message)
  })
})

describe('the rows of a comparison', () => {
  const plan = (specs: string[], budgets = [128, 256]) =>
    planArms(specs.map(parsePolicySpec), budgets).map(({ spec, budget }) => [spec.name, budget])

  test('are each policy at each budget, at its own where it names one; the full cache once', () => {
    expect(plan(['full', 'window', 'oracle:budget=64'])).toEqual([
      ['full', null],
      ['window', 128],
      ['window', 256],
      ['oracle', 64],
    ])
  })

  test.each([
    [['window:sink=500'], /budgetTokens/],
    [['sentence-kv:mode=other'], /mode/],
    [['oracle:jointHeads=yes,budget=none'], /budgetTokens/],
    [['oracle:unit=page'], /unit: expected one of token, sentence, got "page"/],
    [['oracle:sink=4'], /sinkTokens/],
    [['full', 'full'], /each policy and budget once/],
  ])('%j is refused before anything runs', (specs, message) => {
    expect(() => plan(specs)).toThrow(OptionError)
    expect(() => plan(specs)).toThrow(message)
  })

  test('leave out what a policy refuses at some budgets, and say so', () => {
    const refused: (string | number | null)[] = []
    const specs = ['window:sink=100', 'full'].map(parsePolicySpec)
    const arms = planArms(specs, [64, 128], ({ spec, budget }, { parameter }) => {
      refused.push(spec.name, budget, parameter)
    })
    expect(arms.map(({ spec, budget }) => [spec.name, budget])).toEqual([
      ['window', 128],
      ['full', null],
    ])
    expect(refused).toEqual(['window', 64, 'budgetTokens'])
  })

  test.each(policyNames)('%s can be made at a budget of 128, and refuses an option that it does not have', (name) => {
    const [arm] = planArms([parsePolicySpec(name)], [128])
    expect(makePolicy(arm).name.split(':')[0]).toBe(name)
    if (name !== 'full') expect(() => policies[name].make({ budgetTokens: 128, none: 1 } as never)).toThrow(OptionError)
  })
})

test.each(policyNames)('the README has the keys of %s', (name) => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const row = readme.split('\n').find((line) => line.split('|')[1]?.includes(`\`${name}\``))
  for (const key of policies[name].keys) expect(row).toContain(`\`${key}\``)
})
