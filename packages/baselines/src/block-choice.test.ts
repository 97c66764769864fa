import { expect, test } from 'vitest'
import { chooseBlocks } from './block-choice.ts'
import { range } from './test-views.ts'

const budget = { budgetTokens: 20, blockTokens: 4, sinkTokens: 2, recentTokens: 5 }
const masses = Float32Array.of(0.1, 0.2, 0.9, 0.3, 0.8, 0.7, 0.05, 0.6)

test('the best blocks are read beside sinks and recent rows, the last of them cut where the budget ends', () => {
  // 40 rows, 8 blocks indexed: rows from 32 on are not. 20 - 2 - 8 leaves 10: blocks 2 and 4, and half of 5.
  const rows = chooseBlocks(masses, 8, 40, budget)
  expect([...rows]).toEqual([0, 1, ...range(8, 12), ...range(16, 22), ...range(32, 40)])
})

test('a block that sinks or recent rows overlap counts with the rest of its rows', () => {
  const first = Float32Array.from(masses, (mass, block) => (block === 0 ? 2 : mass))
  expect([...chooseBlocks(first, 8, 34, budget)].slice(0, 6)).toEqual([...range(0, 4), 8, 9])
  const last = Float32Array.from(masses, (mass, block) => (block === 7 ? 2 : mass))
  const rows = [...chooseBlocks(last, 8, 34, budget)] // recent rows from 29 on: of block 7 row 28 is left
  expect(rows).toContain(28)
  expect(rows).toHaveLength(20)
})

test('dropped rows are neither counted nor chosen', () => {
  const dropped = [
    { start: 1, end: 11 },
    { start: 17, end: 18 },
  ]
  expect([...chooseBlocks(masses, 8, 40, budget, dropped)]).toEqual([
    0,
    11,
    16,
    18,
    19,
    ...range(20, 24),
    ...range(28, 31),
    ...range(32, 40),
  ])
})

test('blocks worth nothing at all are left out', () => {
  const few = masses.map((mass) => (mass > 0.75 ? mass : Number.NEGATIVE_INFINITY))
  expect([...chooseBlocks(few, 8, 40, budget)]).toEqual([0, 1, ...range(8, 12), ...range(16, 20), ...range(32, 40)])
})

test('equal blocks are taken from the first on', () => {
  expect([...chooseBlocks(new Float32Array(8), 8, 40, budget)]).toEqual([...range(0, 12), ...range(32, 40)])
})

test('where every row fits, every row is read', () => {
  expect([...chooseBlocks(masses, 8, 40, { ...budget, budgetTokens: 100 })]).toEqual(range(0, 40))
})
