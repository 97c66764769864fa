import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PlanError } from './errors.ts'
import {
  countRunTokens,
  indicesOfRow,
  intersectRuns,
  runsOfIndices,
  runsOfSpans,
  runsWithoutSpans,
  validateRunList,
} from './run-list.ts'
import { mergeSpans } from './spans.ts'

const rows = fc.array(
  fc.uniqueArray(fc.nat(200)).map((indices) => indices.sort((a, b) => a - b)),
  { minLength: 1, maxLength: 4 },
)
const spans = fc.array(fc.record({ start: fc.nat(200), end: fc.nat(201) })).map((list) => mergeSpans(list))

describe('run lists', () => {
  test('hold the indices that they were made of', () => {
    fc.assert(
      fc.property(rows, (lists) => {
        const list = runsOfIndices(lists)
        expect(lists.map((_, row) => indicesOfRow(list, row))).toEqual(lists)
        expect(countRunTokens(list)).toBe(lists.flat().length)
        validateRunList(list, lists.length, 201)
      }),
    )
  })

  test('are the same made of spans or of the indices in them', () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: 1, max: 3 }), (list, numRows) => {
        const indices = Array.from({ length: 201 }, (_, i) => i).filter((i) =>
          list.some((s) => i >= s.start && i < s.end),
        )
        expect(runsOfSpans(list, numRows)).toEqual(runsOfIndices(Array.from({ length: numRows }, () => indices)))
      }),
    )
  })

  test('lose the indices of spans that are cut out', () => {
    fc.assert(
      fc.property(rows, fc.array(spans, { minLength: 4, maxLength: 4 }), (lists, cuts) => {
        const kept = lists.map((row, at) =>
          row.filter((index) => !cuts[at].some(({ start, end }) => index >= start && index < end)),
        )
        expect(runsWithoutSpans(runsOfIndices(lists), (row) => cuts[row])).toEqual(runsOfIndices(kept))
      }),
    )
  })

  test('split at pages of 16 tokens', () => {
    expect([...runsOfSpans([{ start: 14, end: 33 }], 1).runs]).toEqual([0, 14, 2, 1, 0, 16, 2, 0, 1])
  })
})

describe('validateRunList', () => {
  const list = (rowStarts: number[], runs: number[]) => ({
    rowStarts: Int32Array.from(rowStarts),
    runs: Int32Array.from(runs),
  })

  test.each([
    ['nothing', undefined],
    ['plain arrays', { rowStarts: [0, 1], runs: [0, 0, 1] }],
    ['the wrong number of rows', list([0, 1, 1], [0, 0, 1])],
    ['a first row that does not start at 0', list([1, 1], [0, 0, 1])],
    ['fewer runs than rows say', list([0, 2], [0, 0, 1])],
    ['more runs than rows say', list([0, 1], [0, 0, 1, 0, 2, 1])],
    ['a negative page', list([0, 1], [-1, 0, 1])],
    ['a negative first', list([0, 1], [0, -1, 2])],
    ['an empty run', list([0, 1], [0, 0, 0])],
    ['a run over a page end', list([0, 1], [0, 15, 2])],
    ['runs that overlap', list([0, 2], [0, 0, 4, 0, 3, 2])],
    ['runs that descend', list([0, 2], [1, 0, 1, 0, 0, 1])],
    ['rows past the end', list([0, 1], [1, 3, 2])],
  ])('refuses %s', (_, wrong) => {
    expect(() => validateRunList(wrong as never, 1, 20)).toThrow(PlanError)
  })

  test('refuses row starts that run away and come back, without following them', () => {
    const wild = list([0, 2 ** 30, 1], [0, 0, 1])
    expect(() => validateRunList(wild, 2, 20)).toThrow(/ascending/)
  })

  test('asks every row for the index that it must hold', () => {
    const both = runsOfIndices([
      [0, 19],
      [3, 4],
    ])
    validateRunList(both, 2, 20)
    expect(() => validateRunList(both, 2, 20, { mustHold: 19 })).toThrow(/row 1/)
    validateRunList(runsOfSpans([{ start: 17, end: 20 }], 2), 2, 20, { mustHold: 19 })
    validateRunList(runsOfSpans([{ start: 0, end: 5 }], 2), 2, 20, { mustHold: 0 })
  })
})

describe('intersectRuns', () => {
  test('names what both lists name, whatever their runs', () => {
    const rows = fc.array(fc.uniqueArray(fc.nat(70), { maxLength: 40 }), { minLength: 2, maxLength: 2 })
    const sorted = (lists: number[][]) => lists.map((list) => list.sort((a, b) => a - b))
    fc.assert(
      fc.property(rows, rows, (some, others) => {
        const [a, b] = [sorted(some), sorted(others)]
        const both = intersectRuns(runsOfIndices(a), runsOfIndices(b))
        validateRunList(both, 2, 71)
        for (let row = 0; row < 2; row++) {
          expect(indicesOfRow(both, row)).toEqual(a[row].filter((index) => b[row].includes(index)))
        }
      }),
    )
  })
})
