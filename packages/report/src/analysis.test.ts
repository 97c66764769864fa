import { expect, test } from 'vitest'
import {
  byDepthThenName,
  countedCells,
  estimateOf,
  fullCacheRows,
  meanCurve,
  pairWithFull,
  rowName,
} from './analysis.ts'
import { parseResults } from './results.ts'

const rowOf = (policy: string, id: string, fields: object) => ({
  ...{ suite: 'niah', id, length: 1024, policy, budget: policy === 'full' ? null : 64, mode: 'A' },
  ...fields,
})

const casesOf = (...rows: object[]) => parseResults(rows, []).cases

test('a pair is of one case and mode; a full cache without a mode stands for all', () => {
  const cases = casesOf(
    rowOf('full', 'a', { correct: true }),
    rowOf('full', 'b', { correct: false, mode: null }),
    rowOf('window', 'a', { correct: false }),
    rowOf('window', 'b', { correct: false, mode: 'B' }),
    rowOf('window', 'a', { correct: true, mode: 'B' }),
    rowOf('window', 'a', {}),
  )
  const fullOf = fullCacheRows(cases)
  expect(fullOf(cases[2])).toBe(cases[0])
  expect(cases.slice(2).map(pairWithFull(cases, 'correct'))).toEqual([
    { own: 0, full: 1 },
    { own: 0, full: 0 },
    undefined,
    undefined,
  ])
})

test('what a row itself says of the full cache comes first', () => {
  const cases = casesOf(
    rowOf('full', 'a', { correct: 1, goldNllNats: 1 }),
    rowOf('window', 'a', { correct: 0, correctFull: 0.5, goldNllNats: 3, goldNllFullNats: 2 }),
  )
  expect(pairWithFull(cases, 'correct')(cases[1])).toEqual({ own: 0, full: 0.5 })
  expect(pairWithFull(cases, 'goldNllNats')(cases[1])).toEqual({ own: 3, full: 2 })
})

test('kinds that the full cache loses do not count, whatever a policy finds there', () => {
  const kinds = (policy: string, correct: boolean[]) =>
    correct.map((right, i) => rowOf(policy, `c${i}`, { kind: i < 4 ? 'code' : 'fact', correct: right }))
  const cases = casesOf(
    ...kinds('full', [true, false, false, false, true, false, false]),
    ...kinds('window', [true, true, true, true, false, false, false]),
    ...kinds('oracle', [true, true, true, true, false, false, false]).map((row) => ({ ...row, length: 2048 })),
  )
  const counted = cases.filter(countedCells(cases, 'correct')).filter(({ length }) => length === 1024)
  expect(counted.map(({ policy, id }) => `${policy} ${id}`)).toEqual(
    ['full', 'window'].flatMap((policy) => ['c4', 'c5', 'c6'].map((id) => `${policy} ${id}`)),
  )
})

test('without the full cache every cell counts', () => {
  const cases = casesOf(rowOf('window', 'a', { correct: false }))
  expect(cases.filter(countedCells(cases, 'correct'))).toHaveLength(1)
})

test('a curve is the mean by layer over the cases that have it', () => {
  const cases = casesOf(
    rowOf('window', 'a', { massRecallByLayer: [0.25, 0.5] }),
    rowOf('window', 'b', { massRecallByLayer: [0.75, 1] }),
    rowOf('window', 'c', {}),
    rowOf('window', 'd', { massRecallByLayer: [0.5, 'x'] }),
  )
  expect(meanCurve(cases, 'massRecallByLayer')).toEqual([0.5, 0.75])
  expect(meanCurve(cases.slice(2), 'massRecallByLayer')).toBeUndefined()
})

test('an estimate needs values, its interval at least two', () => {
  expect(estimateOf([])).toBeUndefined()
  expect(estimateOf([3])).toEqual({ mean: 3, ci95: null })
  const { mean, ci95 } = estimateOf([0, 1, 1, 0])!
  expect([mean, ci95![0] < 0.5, ci95![1] > 0.5]).toEqual([0.5, true, true])
})

test('rows of a map are tasks, depths or kinds, depths first', () => {
  const cases = casesOf(
    ...[{ task: 'vt', kind: 'x' }, { kind: 'multikey' }, { depth: 0.25 }, { depth: 1 }, { depth: 0 }, {}].map(
      (fields) => rowOf('window', 'a', fields),
    ),
  )
  expect(cases.map(rowName).sort(byDepthThenName)).toEqual(['0 %', '25 %', '100 %', 'all', 'multikey', 'vt'])
})
