import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ChoiceInput, chooseTokens } from './choose-tokens.ts'
import { normals } from './test-numbers.ts'

/** Two KV heads of two query heads with drawn scores; estimates are the scores plus noise. */
function inputOf(options: Partial<ChoiceInput> & { numTokens: number }, noise = 0, seed = 1): ChoiceInput {
  const { numTokens } = options
  const scores = normals(4 * numTokens, seed).map((x) => 3 * x)
  const wrong = normals(4 * numTokens, seed + 1)
  const exact = (head: number, token: number) => scores[head * numTokens + token]!
  return {
    numKvHeads: 2,
    group: 2,
    budgetTokens: 20,
    sinkTokens: 2,
    recentTokens: 4,
    jointHeads: true,
    indexedTokens: numTokens,
    poolFactor: 2,
    exactScores: (head, tokens) => tokens.map((token) => exact(head, token)),
    estimatedScores: (head, start, end) =>
      Array.from(
        { length: end - start },
        (_, i) => exact(head, start + i) + noise * wrong[head * numTokens + start + i]!,
      ),
    ...options,
  }
}

const size = (tokens: readonly (readonly number[])[]) => tokens.reduce((sum, row) => sum + row.length, 0)

describe('chooseTokens', () => {
  it('attends everything when the budget holds it', () => {
    const { tokens, pooledTokens } = chooseTokens(inputOf({ numTokens: 12, budgetTokens: 12 }))
    expect(tokens).toEqual([0, 1].map(() => Array.from({ length: 12 }, (_, i) => i)))
    expect(pooledTokens).toBe(0)
  })

  it('attends the always visible alone when they use up the budget', () => {
    const { tokens } = chooseTokens(inputOf({ numTokens: 50, budgetTokens: 6, indexedTokens: 46 }))
    expect(tokens[0]).toEqual([0, 1, 46, 47, 48, 49])
  })

  it('keeps the whole open segment visible, whatever the budget', () => {
    const { tokens } = chooseTokens(inputOf({ numTokens: 50, budgetTokens: 3, indexedTokens: 30 }))
    expect(tokens[1]).toEqual([0, 1, ...Array.from({ length: 20 }, (_, i) => 30 + i)])
  })

  it('spends the budget exactly, over both heads together', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 90 }),
        fc.constantFrom(0, 0.5, 1, 2, Number.POSITIVE_INFINITY),
        fc.boolean(),
        (numTokens, budgetTokens, indexed, poolFactor, jointHeads) => {
          const indexedTokens = Math.min(indexed, numTokens)
          const input = inputOf({ numTokens, budgetTokens, indexedTokens, poolFactor, jointHeads }, 1)
          const { tokens } = chooseTokens(input)
          const end = Math.max(0, Math.min(indexedTokens, numTokens - 4))
          const first = Math.min(2, end)
          const visible = numTokens - (end - first)
          expect(size(tokens)).toBe(2 * Math.max(visible, Math.min(numTokens, budgetTokens)))
          for (const row of tokens) {
            expect(row).toEqual([...new Set(row)].sort((a, b) => a - b))
            expect(row.filter((token) => token < first || token >= end)).toHaveLength(visible)
            expect(row.every((token) => token >= 0 && token < numTokens)).toBe(true)
          }
        },
      ),
    )
  })

  it('with perfect estimates chooses the same with a pool, without one and by exact scores of all', () => {
    const choices = [0, 2, Number.POSITIVE_INFINITY].map((poolFactor) =>
      chooseTokens(inputOf({ numTokens: 80, poolFactor })),
    )
    expect(choices[0]!.tokens).toEqual(choices[2]!.tokens)
    expect(choices[1]!.tokens).toEqual(choices[2]!.tokens)
    expect(choices.map((choice) => choice.pooledTokens)).toEqual([0, 80, 148])
  })

  it('a pool mends noisy estimates', () => {
    const overlap = (poolFactor: number) => {
      let common = 0
      for (let seed = 1; seed < 20; seed++) {
        const oracle = chooseTokens(inputOf({ numTokens: 200, poolFactor: Number.POSITIVE_INFINITY }, 1.5, seed)).tokens
        const got = chooseTokens(inputOf({ numTokens: 200, poolFactor }, 1.5, seed)).tokens
        got.forEach((row, head) => {
          common += row.filter((token) => oracle[head]!.includes(token)).length
        })
      }
      return common
    }
    expect(overlap(3)).toBeGreaterThan(overlap(0))
  })

  it('ranks by probability summed over the group, so a peak of one query head counts', () => {
    const scores = [
      [0, 9, 0, 0, 0, 0],
      [2, 2, 2, 3, 2, 2],
    ]
    const exactScores = (head: number, tokens: readonly number[]) => tokens.map((token) => scores[head]![token]!)
    const input = inputOf({
      numTokens: 6,
      numKvHeads: 1,
      sinkTokens: 0,
      recentTokens: 1,
      budgetTokens: 3,
      poolFactor: Number.POSITIVE_INFINITY,
      exactScores,
    })
    expect(chooseTokens(input).tokens).toEqual([[1, 3, 5]])
  })
})
