import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { attendedSuite, evictTo, heldTokens, opened, step } from './attended-suite.ts'
import { randomAttention, randomWeights, range } from './test-views.ts'
import { tova } from './tova.ts'

const make = (budgetTokens: number) => tova({ budgetTokens })

attendedSuite(make, 2)

test('it evicts the row that the last query attended least, in the mean over the heads of a layer', async () => {
  const session = await opened(make)
  const seen = range(61, 80).map((numTokens) => step(session, numTokens))
  for (const layer of [0, 1]) {
    const ofLast = await randomAttention(60, 1).windowMass(layer)
    let mass = new Map(range(0, 60).map((row) => [row, 0]))
    for (const row of mass.keys()) {
      for (const head of range(0, 6)) mass.set(row, mass.get(row)! + ofLast[head * 60 + row])
    }
    evictTo(heldTokens, 59, mass)
    for (const [at, rows] of seen.entries()) {
      const numTokens = 61 + at
      mass.set(numTokens - 1, 0)
      evictTo(heldTokens, numTokens - 1, mass)
      expect(rows[layer]).toEqual([[...mass.keys()], [...mass.keys()]])
      const indices = Int32Array.from(mass.keys())
      mass = new Map(Array.from(indices, (row) => [row, 0]))
      for (const kvHead of [0, 1]) {
        for (const [i, weight] of randomWeights(layer, numTokens)(kvHead, indices).entries()) {
          const row = indices[i % indices.length]
          mass.set(row, mass.get(row)! + weight)
        }
      }
    }
  }
})

test.each([{}, { budgetTokens: 1 }, { budgetTokens: 64, budget: 3 }])('refuses %o', (options) => {
  expect(() => tova(options as never)).toThrow(OptionError)
})
