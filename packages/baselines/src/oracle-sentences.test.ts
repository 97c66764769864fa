import { OptionError } from '@kvasir/core'
import { policySuite, toyEngine } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { type OracleSentencesOptions, oracleSentences } from './oracle-sentences.ts'
import { lastChunk, openSession, randomKv, randomWeights, range, rowsOf, shape, stepOf } from './test-views.ts'

describe('the contract of a policy', () => {
  policySuite(() => oracleSentences({ budgetTokens: 40 }), { describe, test, budgetTokens: 40 })
  policySuite(() => oracleSentences({ budgetTokens: 12, sinkTokens: 1, recentTokens: 2, jointHeads: true }), {
    describe,
    test,
  })
})

const words = 'One two three four. Five six seven eight nine. Ten is here. And so on we go, to the end. More'
const pieces = words.match(/ ?\w+|[.,]/g) as string[]
/** Ends of the closed sentences of the text, in tokens. */
const ends = pieces.flatMap((piece, at) => (piece === '.' ? [at + 1] : []))
const numTokens = pieces.length
const always = { sinkTokens: 1, recentTokens: 2 }

async function choose(options: OracleSentencesOptions, evicted: { start: number; end: number }[] = []) {
  const session = openSession(oracleSentences({ minSegmentTokens: 1, ...always, ...options }))
  const { reader } = randomKv(numTokens)
  await session.retain!({ ...lastChunk(reader(numTokens - 1)), pieces: pieces.slice(0, -1) })
  const step = stepOf(reader(numTokens, evicted), 1, numTokens, { weights: randomWeights(1, numTokens) })
  const selection = session.select!(step)
  return { selection, session }
}

/** Attention of each row, summed over the queries of a KV head. */
function massOf(kvHead: number): number[] {
  const weights = randomWeights(1, numTokens)(kvHead, Int32Array.from(range(0, numTokens)))
  return range(0, numTokens).map((row) => {
    const ofQueries = range(0, shape.numHeads / shape.numKvHeads).map((query) => weights[query * numTokens + row])
    return ofQueries.reduce((sum, value) => sum + value, 0)
  })
}

test('sinks, recent rows and the sentence of most attention a token; the next one by its best rows', async () => {
  const { selection } = await choose({ budgetTokens: 10 })
  for (const [kvHead, rows] of rowsOf(selection).entries()) {
    const mass = massOf(kvHead)
    const between = (start: number, end: number) => range(Math.max(1, start), Math.min(end, numTokens - 2))
    const sentences = [0, ...ends]
      .map((start, at) => between(start, ends[at] ?? numTokens))
      .filter(({ length }) => length > 0)
      .map((of) => ({ of, density: of.reduce((sum, row) => sum + mass[row], 0) / of.length }))
      .sort((a, b) => b.density - a.density)
      .map(({ of }) => of)
    const expected = [0, numTokens - 2, numTokens - 1]
    for (const of of sentences) {
      expected.push(...[...of].sort((a, b) => mass[b] - mass[a]).slice(0, 10 - expected.length))
    }
    expect(rows).toEqual(expected.sort((a, b) => a - b))
  }
})

test('one budget for the heads of a layer is spent where the attention is', async () => {
  const heads = rowsOf((await choose({ budgetTokens: 10, jointHeads: true })).selection)
  expect(heads.flat()).toHaveLength(20)
  const apart = rowsOf((await choose({ budgetTokens: 10 })).selection)
  const worth = (rows: number[][]) =>
    rows.flatMap((own, kvHead) => own.map((row) => massOf(kvHead)[row])).reduce((sum, value) => sum + value, 0)
  expect(worth(heads)).toBeGreaterThanOrEqual(worth(apart))
})

test('rows that are gone are not chosen, and the budget goes to others', async () => {
  const { selection } = await choose({ budgetTokens: 10 }, [{ start: 5, end: 12 }])
  for (const rows of rowsOf(selection)) {
    expect(rows).toHaveLength(10)
    expect(rows.filter((row) => row >= 5 && row < 12)).toEqual([])
  }
})

test('it reads every key to choose, and everything while the budget does', async () => {
  const { session } = await choose({ budgetTokens: 10 })
  expect(session.counts!()).toMatchObject({ attendedTokens: 20, pooledTokens: 2 * numTokens, indexBytes: 0 })
  const all = await choose({ budgetTokens: numTokens })
  expect(all.selection).toEqual({ kind: 'all' })
  expect(all.session.counts!()).toMatchObject({ attendedTokens: 2 * numTokens, pooledTokens: 0 })
})

test('an engine that cannot tell attention is refused', () => {
  const { profile } = toyEngine()
  const capabilities = new Set([...profile.capabilities].filter((name) => name !== 'observe.attention-weights'))
  expect(() => oracleSentences({ budgetTokens: 40 }).bind({ ...profile, capabilities })).toThrow(
    /observe\.attention-weights/,
  )
})

test.each([
  {},
  { budgetTokens: 20 },
  { budgetTokens: 64, jointHeads: 1 },
  { budgetTokens: 64, minSegmentTokens: 0 },
  { budgetTokens: 64, minSegmentTokens: 9, maxSegmentTokens: 8 },
  { budgetTokens: 64, unit: 'sentence' },
])('refuses %o', (options) => {
  expect(() => oracleSentences(options as never)).toThrow(OptionError)
})
