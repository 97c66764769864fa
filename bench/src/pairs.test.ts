import { expect, test } from 'vitest'
import { pairedRow, takeTurns, timeRow } from './pairs.ts'

const label = { name: 'prefill', shape: 'length=8', unit: 'tokens/s' }

test('contestants take turns; the first round is not counted', async () => {
  const order: string[] = []
  const run = (name: string) => async () => order.push(name) * 10
  const turns: number[] = []
  const times = await takeTurns({ a: run('a'), b: run('b') }, 2, () => turns.push(order.length))
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
  expect(times).toEqual({ a: [30, 50], b: [40, 60] })
  expect(turns).toEqual([1, 2, 3, 4, 5, 6])
})

test('the ratio is above 1 where we are faster, whatever the unit', () => {
  const [ours, theirs] = [
    [10, 20, 40],
    [20, 60, 60],
  ]
  const rate = pairedRow(label, (ms) => 8 / (ms / 1e3), ours, theirs, 'peer')
  expect(rate).toEqual({
    ...label,
    ours: 400,
    theirs: 8 / 0.06,
    against: 'peer',
    ratio: 2,
    ratioQuartiles: [1.75, 2.5],
    pairs: 3,
  })
  expect(pairedRow(label, (ms) => ms, ours, theirs, 'peer')).toMatchObject({ ours: 20, theirs: 60, ratio: 2 })
})

test('without a peer there is no ratio', () => {
  expect(timeRow(label, (ms) => ms, [1, 3, 2])).toEqual({ ...label, ours: 2, pairs: 3 })
})
