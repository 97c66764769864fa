import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bestIndices } from './best-indices.ts'

test('takes the highest scores, of equal ones the lower indices, ascending', () => {
  const score = fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.double({ noNaN: true }),
    fc.constant(Number.NEGATIVE_INFINITY),
  )
  fc.assert(
    fc.property(fc.array(score, { maxLength: 80 }), fc.nat(90), (scores, count) => {
      const candidates = Int32Array.from(scores, (_, at) => 10 + 3 * at)
      const sorted = [...candidates.keys()].sort((a, b) =>
        scores[b] > scores[a] ? 1 : scores[b] < scores[a] ? -1 : a - b,
      )
      const expected = sorted.slice(0, count).sort((a, b) => a - b)
      expect([...bestIndices(candidates, Float64Array.from(scores), count)]).toEqual(
        expected.map((at) => candidates[at]),
      )
    }),
    { numRuns: 500 },
  )
})
