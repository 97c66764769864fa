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
    ends: endsOf(numTokens),
    pending: false,
    poolFactor: 2,
    prefilterFactor: 0,
    certify: 'off',
    keeps: () => true,
    exactScores: (head, tokens) => tokens.map((token) => exact(head, token)),
    estimatedScores: (head, tokens) => tokens.map((t) => exact(head, t) + noise * wrong[head * numTokens + t]!),
    scoreBounds: (head, tokens) => tokens.map((t) => Math.abs(noise * wrong[head * numTokens + t]!) + 1e-9),
    densities: (head) =>
      endsOf(numTokens).map((end, s, ends) => {
        const start = ends[s - 1] ?? 0
        const sum = Array.from({ length: end - start }, (_, i) => Math.exp(exact(head, start + i)))
        return Math.log(sum.reduce((a, b) => a + b, 0) / (end - start))
      }),
    ...options,
  }
}

/** Segments of up to eight tokens. */
function endsOf(numTokens: number): number[] {
  return Array.from({ length: Math.ceil(numTokens / 8) }, (_, s) => Math.min(numTokens, 8 * (s + 1)))
}

/** All tokens that a choice attends. */
function attended(input: ChoiceInput): number[][] {
  const { first, end, tokens } = chooseTokens(input)
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
  return tokens.map((chosen, kvHead) =>
    [...range(0, first), ...chosen, ...range(end, input.numTokens)].filter((token) => input.keeps(kvHead, token)),
  )
}

const size = (tokens: readonly (readonly number[])[]) => tokens.reduce((sum, row) => sum + row.length, 0)

describe('chooseTokens', () => {
  it('attends everything when the budget holds it', () => {
    const input = inputOf({ numTokens: 12, budgetTokens: 12 })
    expect(attended(input)).toEqual([0, 1].map(() => Array.from({ length: 12 }, (_, i) => i)))
    expect(chooseTokens(input).pooledTokens).toBe(0)
  })

  it('attends the always visible alone when they use up the budget', () => {
    const tokens = attended(inputOf({ numTokens: 50, budgetTokens: 6, ends: [46] }))
    expect(tokens[0]).toEqual([0, 1, 46, 47, 48, 49])
  })

  it('keeps the whole open segment visible, whatever the budget', () => {
    const tokens = attended(inputOf({ numTokens: 50, budgetTokens: 3, ends: [11, 30] }))
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
          const ends = indexedTokens === 0 ? [] : [indexedTokens]
          const tokens = attended(inputOf({ numTokens, budgetTokens, ends, poolFactor, jointHeads }, 1))
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
    expect(attended(input)).toEqual([[1, 3, 5]])
  })

  it('chooses among kept tokens alone, and spends on them what the others would have taken', () => {
    const keeps = (kvHead: number, token: number) => (token + kvHead) % 3 !== 0 || token === 119
    for (const poolFactor of [0, 1, 2, Number.POSITIVE_INFINITY]) {
      for (const jointHeads of [true, false]) {
        const tokens = attended(inputOf({ numTokens: 120, budgetTokens: 30, poolFactor, jointHeads, keeps }, 1))
        tokens.forEach((row, kvHead) => {
          expect(row.every((token) => keeps(kvHead, token))).toBe(true)
        })
        expect(size(tokens)).toBe(60)
      }
    }
  })

  it('with a prefilter chooses from the densest segments', () => {
    for (let seed = 1; seed < 10; seed++) {
      const whole = attended(inputOf({ numTokens: 200 }, 0, seed))
      const some = attended(inputOf({ numTokens: 200, prefilterFactor: 3 }, 0, seed))
      expect(size(some)).toBe(40)
      const common = some.flatMap((row, head) => row.filter((token) => whole[head]!.includes(token))).length
      expect(common).toBeGreaterThan(28)
      expect(attended(inputOf({ numTokens: 200, prefilterFactor: 10 }, 0, seed))).toEqual(whole)
    }
  })

  it.each([true, false])('extends a pool until the choice is the exact one, jointHeads %s', (jointHeads) => {
    let mended = 0
    for (let seed = 1; seed < 30; seed++) {
      // One query head a KV head, jointly valued only where denominators agree: see the next test for the others.
      const options = { numTokens: 200, group: 1, jointHeads: false } as const
      const exact = attended(inputOf({ ...options, poolFactor: Number.POSITIVE_INFINITY }, 2, seed))
      const extended = inputOf({ ...options, certify: 'extend' }, 2, seed)
      expect(attended(extended)).toEqual(exact)
      if (JSON.stringify(attended(inputOf(options, 2, seed))) !== JSON.stringify(exact)) mended++

      // Whatever the denominators: a choice that is proven does not change when more is read.
      const pooled = inputOf({ numTokens: 200, jointHeads, certify: 'report' }, 1, seed)
      if (chooseTokens(pooled).certifiedHeads === 2) {
        expect(chooseTokens({ ...pooled, certify: 'extend' }).tokens).toEqual(chooseTokens(pooled).tokens)
      }
    }
    expect(mended).toBeGreaterThan(5)
  })

  it('proves nothing where bounds are wide, all where estimates are exact', () => {
    const certified = (noise: number) =>
      chooseTokens(inputOf({ numTokens: 200, certify: 'report' }, noise)).certifiedHeads
    expect([certified(0), certified(9)]).toEqual([2, 0])
    const without = inputOf({ numTokens: 200, certify: 'off' }, 0)
    expect(chooseTokens(without).certifiedHeads).toBe(0)
  })
})
