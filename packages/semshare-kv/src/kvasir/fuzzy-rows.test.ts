import { expect, test } from 'vitest'
import { type FuzzyRequest, fuzzyRows } from './fuzzy-rows.ts'

/** Vectors on a circle, 10 degrees an id. */
const embeddings = (ids: Int32Array) =>
  Float32Array.from([...ids].flatMap((id) => [Math.cos((id * Math.PI) / 18), Math.sin((id * Math.PI) / 18)]))

const donor = { id: 'a', tokens: Int32Array.of(90, 91, 1, 9, 14, 92, 93) }
const request: FuzzyRequest = {
  tokens: Int32Array.of(90, 91, 2, 27, 15, 92, 93),
  runs: [
    { start: 0, end: 2, donor: 'a', donorStart: 0 },
    { start: 5, end: 7, donor: 'a', donorStart: 5 },
  ],
  donors: [donor],
  facts: new Uint8Array(7),
  embeddings,
}
const row = (start: number, donorStart: number) => ({ start, end: start + 1, donor: 'a', donorStart })

test('a token takes the row of a near token in the same gap, the nearest ones first', () => {
  expect(fuzzyRows(request, 0.9, 9)).toEqual([row(2, 2), row(4, 4)])
  expect(fuzzyRows(request, 0.9, 1)).toHaveLength(1)
  expect(fuzzyRows(request, 0.99, 9)).toEqual([])
  expect(fuzzyRows(request, 0.9, 0)).toEqual([])
})

test('tokens that carry facts take none', () => {
  const facts = new Uint8Array(7)
  facts[2] = 1
  expect(fuzzyRows({ ...request, facts }, 0.9, 9)).toEqual([row(4, 4)])
})

test('rows of a gap are taken in their order', () => {
  const swapped = { ...request, tokens: Int32Array.of(90, 91, 14, 1, 50, 92, 93) }
  expect(fuzzyRows(swapped, 0.9, 9)).toEqual([row(2, 4)])
})

test('there is no gap between runs of two donors, or where the donor goes on', () => {
  const [first, second] = request.runs
  expect(fuzzyRows({ ...request, runs: [first, { ...second, donor: 'b' }] }, 0.5, 9)).toEqual([])
  expect(fuzzyRows({ ...request, runs: [first, { ...second, donorStart: 2 }] }, 0.5, 9)).toEqual([])
})
