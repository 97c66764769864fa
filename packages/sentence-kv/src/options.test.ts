import { OptionError } from '@kvasir/core'
import { describe, expect, test } from 'vitest'
import { resolveSentenceKv } from './options.ts'
import { sentenceKv } from './sentence-kv.ts'

test('the mode is kvasir where none is named, and the policy says which it is', () => {
  expect(sentenceKv({ budgetTokens: 128 }).name).toBe('sentence-kv:kvasir')
  for (const mode of ['kvasir', 'paper', 'released'] as const) {
    expect(resolveSentenceKv({ mode, budgetTokens: 128 }).mode).toBe(mode)
    expect(sentenceKv({ mode, budgetTokens: 128 }).name).toBe(`sentence-kv:${mode}`)
  }
})

test('a third of what is kept is read, unless another factor is named', () => {
  expect(resolveSentenceKv({ mode: 'paper', budgetTokens: 128 })).toMatchObject({ keptTokens: 384, windowTokens: 32 })
  expect(resolveSentenceKv({ mode: 'released', budgetTokens: 129, keep: 2.5 })).toMatchObject({ keptTokens: 322 })
})

describe('misuse', () => {
  test('an unknown mode, naming those there are', () => {
    expect(() => resolveSentenceKv({ budgetTokens: 64, mode: 'papr' as never })).toThrow(OptionError)
    expect(() => resolveSentenceKv({ budgetTokens: 64, mode: 'papr' as never })).toThrow(
      /kvasir, paper, released.*papr/,
    )
  })

  test.each([
    ['paper', { poolFactor: 2 }],
    ['paper', { jointHeads: true }],
    ['released', { windowTokens: 32 }],
    ['released', { recentTokens: 32 }],
    ['kvasir', { windowTokens: 32 }],
  ])('a key that mode %s does not know: %o', (mode, options) => {
    const make = () => resolveSentenceKv({ mode, budgetTokens: 128, ...options } as never)
    expect(make).toThrow(OptionError)
    expect(make).toThrow(new RegExp(`of mode ${mode}\\.${Object.keys(options)[0]}: expected one of`))
  })

  test('a misspelt key, with the right spelling', () => {
    expect(() => resolveSentenceKv({ mode: 'paper', budgetToken: 64 } as never)).toThrow(/Did you mean budgetTokens\?/)
  })
})
