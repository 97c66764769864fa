import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exact, isExact, type Loss, type Provenance, withLoss } from './provenance.ts'

const loss = fc.constantFrom<Loss>('quantised', 'pruned', 'merged', 'moved', 'borrowed', 'recomputed-over-loss')

test('losses only grow, each once, in their order', () => {
  fc.assert(
    fc.property(fc.array(loss), (losses) => {
      const result = losses.reduce<Provenance>(withLoss, exact)
      expect(isExact(result)).toBe(losses.length === 0)
      expect(result.kind === 'approximate' ? result.losses : []).toEqual([...new Set(losses)])
    }),
  )
})

test('exact cannot be changed', () => {
  expect(Object.isFrozen(exact)).toBe(true)
  withLoss(exact, 'moved')
  expect(isExact(exact)).toBe(true)
})
