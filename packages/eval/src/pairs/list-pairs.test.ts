import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { listCases } from '../suites.ts'
import { type PairCase, pairKinds } from './pair-case.ts'

// The folder that holds `open/`, or that one; pairs of the restricted part are there only in the former.
const dataDir = process.env.KVASIR_DATA ?? join(import.meta.dirname, '../../../../../shared/data/open')
const isThere = existsSync(join(dataDir, 'pairs', 'onestop.jsonl'))

function list(filter: Parameters<typeof listCases>[2]): PairCase[] {
  return listCases('pairs', dataDir, filter).cases as PairCase[]
}

test.skipIf(!isThere)('every kind has cases near its length, each with an id of its own', () => {
  const cases = list({ lengths: [1024, 4096] })
  expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length)
  for (const kind of pairKinds.filter((kind) => kind !== 'multinews')) {
    const some = cases.filter((one) => one.kind === kind)
    expect(some.length).toBeGreaterThan(5)
    for (const { length, target, donor } of some) {
      // English prose is four to five characters a token.
      expect(target.content.length / length).toBeGreaterThan(2.9)
      expect(target.content.length / length).toBeLessThan(6)
      expect(donor.content).not.toBe(target.content)
    }
  }
})

test.skipIf(!isThere)('a limit holds for each kind and length, and takes different variants', () => {
  const cases = list({ lengths: [1024, 2048], limit: 5, kinds: ['shift', 'swap'] })
  expect(cases).toHaveLength(20)
  const shifts = cases.filter(({ kind, length }) => kind === 'shift' && length === 1024)
  expect(shifts.map(({ variant }) => variant)).toEqual(['k=1', 'k=4', 'k=16', 'k=64', 'k=1024'])
})

test('files that are not there are named; wrong lengths and kinds elsewhere are refused', () => {
  expect(listCases('pairs', '/nowhere', { lengths: [1024] })).toEqual({
    cases: [],
    missing: ['onestop', 'onestop_plan', 'nt', 'multinews'].map((name) => `/nowhere/pairs/${name}.jsonl`),
  })
  expect(() => listCases('niah', dataDir, { kinds: ['swap'] })).toThrow(OptionError)
  if (isThere) expect(() => list({ lengths: [777] })).toThrow(/1024, 2048, 4096, 5120/)
})
