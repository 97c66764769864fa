import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PlanError } from './errors.ts'
import { complementSpans, mergeSpans, validateSpans } from './spans.ts'

const spans = fc.array(fc.record({ start: fc.nat(60), end: fc.nat(60) }))
const holds = (list: readonly { start: number; end: number }[], index: number) =>
  list.some(({ start, end }) => index >= start && index < end)
const indices = Array.from({ length: 60 }, (_, index) => index)

test('merged spans hold what any of them held, in order', () => {
  fc.assert(
    fc.property(spans, spans, (a, b) => {
      const merged = mergeSpans(a, b)
      validateSpans('merged', merged, 60)
      for (const index of indices) expect(holds(merged, index)).toBe(holds(a, index) || holds(b, index))
      for (let at = 1; at < merged.length; at++) expect(merged[at].start).toBeGreaterThan(merged[at - 1].end)
    }),
  )
})

test('the complement holds all the rest', () => {
  fc.assert(
    fc.property(spans, fc.nat(60), (list, numTokens) => {
      const merged = mergeSpans(list)
      const rest = complementSpans(merged, numTokens)
      validateSpans('rest', rest, numTokens)
      for (const index of indices.slice(0, numTokens)) expect(holds(rest, index)).toBe(!holds(merged, index))
    }),
  )
})

test.each([
  ['no array', { start: 0, end: 1 }],
  ['an empty span', [{ start: 1, end: 1 }]],
  ['a span past the end', [{ start: 9, end: 11 }]],
  ['a negative start', [{ start: -1, end: 1 }]],
  ['fractions', [{ start: 0.5, end: 2 }]],
  [
    'an overlap',
    [
      { start: 0, end: 4 },
      { start: 3, end: 5 },
    ],
  ],
  [
    'another order',
    [
      { start: 5, end: 6 },
      { start: 0, end: 1 },
    ],
  ],
  ['a hole', [undefined]],
])('refuses %s', (_, wrong) => {
  expect(() => validateSpans('plan.evict', wrong as never, 10)).toThrow(PlanError)
})

test('accepts spans that touch', () => {
  validateSpans(
    'plan.evict',
    [
      { start: 0, end: 4 },
      { start: 4, end: 10 },
    ],
    10,
  )
})
