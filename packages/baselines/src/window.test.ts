import { compose, indicesOfRow, OptionError, privateScope, type StepView } from '@kvasir/core'
import { policySuite, toyEngine, toyTokens } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { snapKv } from './snapkv.ts'
import { sinkWindow } from './window.ts'

describe('the contract of a policy', () => {
  policySuite(() => sinkWindow({ budgetTokens: 24 }), { describe, test, budgetTokens: 24 })
  describe('renumbered', () =>
    policySuite(() => sinkWindow({ budgetTokens: 24, renumber: true }), { describe, test, budgetTokens: 24 }))
})

/** What each KV head reads at a step of numTokens rows. */
function chosen(numTokens: number, options: Parameters<typeof sinkWindow>[0]): number[] {
  const { profile } = toyEngine()
  const session = sinkWindow(options).open({ id: 's', profile, scope: privateScope('s') })
  const selection = session.select!({ layer: null, numTokens, queries: null, kv: { numTokens } } as unknown as StepView)
  if (selection.kind !== 'runs') throw new Error(`expected runs, got ${selection.kind}`)
  const rows = [0, 1].map((kvHead) => indicesOfRow(selection.runs, kvHead))
  expect(rows[1]).toEqual(rows[0])
  return rows[0]
}

test('it covers the first tokens and the last ones, as many as the budget', () => {
  expect(chosen(100, { budgetTokens: 10 })).toEqual([0, 1, 2, 3, 94, 95, 96, 97, 98, 99])
  expect(chosen(100, { budgetTokens: 3, sinkTokens: 0 })).toEqual([97, 98, 99])
  expect(chosen(100, { budgetTokens: 5, sinkTokens: 4 })).toEqual([0, 1, 2, 3, 99])
})

test('it covers everything while the budget does', () => {
  for (const numTokens of [1, 3, 4, 5, 9, 10]) {
    expect(chosen(numTokens, { budgetTokens: 10 })).toEqual(Array.from({ length: numTokens }, (_, i) => i))
  }
  expect(chosen(11, { budgetTokens: 10 })).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9, 10])
})

test('renumbered, sinks stand right before the window', () => {
  const { profile } = toyEngine()
  const session = sinkWindow({ budgetTokens: 10, renumber: true }).open({ id: 's', profile, scope: privateScope('s') })
  const moved = (numTokens: number) => {
    const selection = session.select!({ numTokens, kv: { numTokens } } as unknown as StepView)
    return selection.kind === 'runs' ? selection.moved : null
  }
  expect([9, 10, 11, 100].map(moved)).toEqual([
    undefined,
    undefined,
    [{ start: 0, end: 4, by: 1 }],
    [{ start: 0, end: 4, by: 90 }],
  ])
})

test('what is held is what is read', async () => {
  const sequence = toyEngine().createSequence({ policy: sinkWindow({ budgetTokens: 10 }) })
  await sequence.prefill(toyTokens('a text of more than ten bytes'))
  await sequence.decode(65)
  expect(sequence.report().policy).toMatchObject({ steps: 1, attendedTokens: 4 * 10, heldTokens: 4 * 10 })
})

test('rows that another policy of a stack dropped are not counted', async () => {
  const policy = compose(
    snapKv({ budgetTokens: 20, windowTokens: 4, generated: 'beside' }),
    sinkWindow({ budgetTokens: 18 }),
  )
  const sequence = toyEngine().createSequence({ policy })
  await sequence.prefill(toyTokens('a text of more than forty bytes, all of them read'))
  for (const token of [65, 66]) await sequence.decode(token)
  const { attendedTokens, policy: counts } = sequence.report()
  expect(counts?.attendedTokens).toBe(attendedTokens)
  expect(attendedTokens).toBeLessThan(2 * 4 * 18)
})

test('a budget that the sinks fill, and unknown keys, are refused', () => {
  expect(() => sinkWindow({ budgetTokens: 4 })).toThrow(/more than the 4 tokens that are always read/)
  expect(() => sinkWindow({ budgetTokens: 8, sinkTokens: -1 })).toThrow(OptionError)
  expect(() => sinkWindow({} as never)).toThrow(OptionError)
  expect(() => sinkWindow({ budgetTokens: 8, renumber: 1 } as never)).toThrow(/true or false/)
  expect(() => sinkWindow({ budgetTokens: 8, sinkToken: 2 } as never)).toThrow(/Did you mean sinkTokens\?/)
})
