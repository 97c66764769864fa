import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseBudget, type ValueRow } from './choose-budget.ts'

const row = (values: number[]): ValueRow => ({ tokens: values.map((_, i) => i), values })

const chooseEach = (given: ValueRow[], perRow: number, joint: boolean) =>
  chooseBudget(
    given,
    given.map(() => perRow),
    joint,
  )

const rows = fc.array(fc.array(fc.constantFrom(0, 0.1, 0.25, 0.25, 0.5, 1), { maxLength: 30 }).map(row), {
  minLength: 1,
  maxLength: 5,
})

describe('chooseBudget', () => {
  it('gives each row its best tokens when heads do not share', () => {
    expect(chooseEach([row([1, 5, 3]), row([9, 8, 7])], 2, false)).toEqual([
      [1, 2],
      [0, 1],
    ])
  })

  it('gives the rest to the best of any row once each has its quarter', () => {
    expect(chooseEach([row([1, 5, 3, 2]), row([9, 8, 7, 6])], 2, true)).toEqual([[], [0, 1, 2, 3]])
    expect(chooseEach([row([1, 5, 3, 2]), row([9, 8, 7, 6])], 3, true)).toEqual([
      [1, 2],
      [0, 1, 2, 3],
    ])
    const eight = [9, 9, 9, 9, 9, 9, 9, 9, 9, 9]
    expect(chooseEach([row([1, 5, 3, 2]), row(eight)], 4, true)).toEqual([[1], [0, 1, 2, 3, 4, 5, 6]])
  })

  it('breaks ties by token, then by row', () => {
    expect(chooseEach([row([1, 1, 1]), row([1, 1, 1])], 1, true)).toEqual([[0], [0]])
    expect(chooseEach([row([1, 1, 1]), row([1, 1, 1]), row([0])], 1, true)).toEqual([[0, 1], [0], []])
    expect(
      chooseEach(
        [
          { tokens: [7, 9], values: [1, 1] },
          { tokens: [4, 8], values: [1, 1] },
        ],
        1,
        true,
      ),
    ).toEqual([[7], [4]])
  })

  it('takes nothing for a budget of 0 and everything for one that is large enough', () => {
    expect(chooseEach([row([1, 2]), row([3])], 0, true)).toEqual([[], []])
    expect(chooseEach([row([1, 2]), row([3])], 2, true)).toEqual([[0, 1], [0]])
    expect(chooseEach([row([1, 2]), row([3])], 99, false)).toEqual([[0, 1], [0]])
  })

  it('fills the budget exactly, keeps quarters, and never prefers a lower value', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 0, max: 40 }), (given, perRow) => {
        const chosen = chooseEach(given, perRow, true)
        const available = given.reduce((sum, { tokens }) => sum + tokens.length, 0)
        expect(chosen.reduce((sum, tokens) => sum + tokens.length, 0)).toBe(Math.min(available, perRow * given.length))
        given.forEach(({ tokens, values }, r) => {
          const kept = chosen[r]!
          expect(kept.length).toBeGreaterThanOrEqual(Math.min(tokens.length, Math.floor(perRow / 4)))
          const lowest = Math.min(...kept.map((token) => values[token]!))
          for (const token of tokens) if (!kept.includes(token)) expect(values[token]!).toBeLessThanOrEqual(lowest)
        })
      }),
    )
  })

  it('gives rows of unlike budgets their own, or their quarter of it', () => {
    const two = [row([1, 5, 3, 2]), row([9, 8, 7, 6])]
    expect(chooseBudget(two, [1, 3], false)).toEqual([[1], [0, 1, 2]])
    expect(chooseBudget(two, [4, 0], true)).toEqual([[1], [0, 1, 2]])
  })
})
