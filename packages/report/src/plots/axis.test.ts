import fc from 'fast-check'
import { expect, test } from 'vitest'
import { logTicks, spread, symlogTicks } from './axis.ts'

test('a log axis has powers of ten where it is long and finer steps where it is short', () => {
  expect(logTicks(0.002, 3)).toEqual([0.01, 0.1, 1])
  expect(logTicks(0.09, 0.6)).toEqual([0.1, 0.2, 0.5])
  expect(logTicks(1.01, 1.02)).toEqual([1.01, 1.02])
})

test('an axis through zero has zero and both signs', () => {
  expect(symlogTicks(-4, 40)).toEqual([-3, -1, 0, 1, 3, 10, 30])
  expect(symlogTicks(-0.5, 2)).toContain(0)
})

test('labels are moved apart, in order, inside the frame where there is room', () => {
  const place = fc.double({ min: 0, max: 200, noNaN: true })
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 15 }), (places) => {
      const moved = spread(places, 13, [0, 200])
      const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b])
      for (const [k, i] of order.slice(1).entries())
        expect(moved[i] - moved[order[k]]).toBeGreaterThanOrEqual(13 - 1e-9)
      expect(Math.min(...moved)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...moved)).toBeLessThanOrEqual(200)
    }),
  )
})

test('labels that are apart stay where they are', () => {
  expect(spread([100, 20, 60], 13, [0, 200])).toEqual([100, 20, 60])
})
