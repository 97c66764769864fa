import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { attendedSuite, evictTo, heldTokens, opened, step } from './attended-suite.ts'
import { h2o } from './h2o.ts'
import { heads, randomAttention, randomWeights, range } from './test-views.ts'

const make = (budgetTokens: number) => h2o({ budgetTokens })

attendedSuite(make, 4)

test('it holds the recent half and the heavy hitters, by all attention so far', async () => {
  const session = await opened(make)
  const seen = range(61, 80).map((numTokens) => step(session, numTokens))
  for (const [layer, kvHead] of heads) {
    const total = await randomAttention(60, 1).totalMass(layer)
    const mass = new Map(range(0, 60).map((row) => [row, 0]))
    for (const row of mass.keys()) {
      for (const head of range(kvHead * 3, kvHead * 3 + 3)) mass.set(row, mass.get(row)! + total[head * 60 + row])
    }
    evictTo(heldTokens, 60 - 6, mass)
    for (const [at, rows] of seen.entries()) {
      const numTokens = 61 + at
      mass.set(numTokens - 1, 0)
      evictTo(heldTokens, numTokens - 6, mass)
      expect(rows[layer][kvHead]).toEqual([...mass.keys()])
      const indices = Int32Array.from(mass.keys())
      const weights = randomWeights(layer, numTokens)(kvHead, indices)
      for (const [i, weight] of weights.entries()) {
        const row = indices[i % indices.length]
        mass.set(row, mass.get(row)! + weight)
      }
    }
  }
})

test.each([{}, { budgetTokens: 1 }, { budgetTokens: 64, budget: 3 }, { budgetTokens: 8, recentTokens: 8 }])(
  'refuses %o',
  (options) => {
    expect(() => h2o(options as never)).toThrow(OptionError)
  },
)
