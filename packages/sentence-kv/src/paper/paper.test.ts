import { indicesOfRow, OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sentenceKv } from '../sentence-kv.ts'
import { type TestNumbers, TestSequence, testNumbers } from '../testing/test-sequence.ts'

const budgetTokens = 20
/** What the paper names as always read: the current token. */
const bare = { sinkTokens: 0, recentTokens: 1 }
const paper = (keep = 3, always = bare) => sentenceKv({ mode: 'paper', budgetTokens, keep, ...always })

const words = (count: number) => new Array<string>(count).fill(' word')
const prose = (sentences: number) => Array.from({ length: sentences }, () => [...words(9), '.']).flat()

const ends = (piece: string) => piece.includes('.') || piece.includes('。') || piece.includes('?')

/** What each KV head reads at each step, computed the long way round. */
function plainSteps(
  numbers: TestNumbers,
  prompt: readonly string[],
  answer: readonly string[],
  keep: number,
  { sinkTokens, recentTokens }: typeof bare,
): number[][][][] {
  const length = prompt.length
  const layers = [0, 1].map((layer) => {
    const mass = numbers.mass(layer, length)
    const total = prompt.map((_, at) => [0, 1, 2, 3].reduce((sum, head) => sum + mass[head * length + at], 0))
    const heaviest = prompt.map((_, at) => at).sort((a, b) => total[b] - total[a] || a - b)
    const kept = heaviest.slice(0, Math.floor(keep * budgetTokens)).sort((a, b) => a - b)
    const starts = [0, ...prompt.flatMap((piece, at) => (ends(piece) && at + 1 < length ? [at + 1] : []))]
    const sentences = starts.map((start, i) => kept.filter((at) => at >= start && at < (starts[i + 1] ?? length)))
    return { kept, sentences, open: [] as number[] }
  })
  return answer.map((piece, i) => {
    const now = length + i
    return layers.map(({ kept, sentences, open }, layer) => {
      open.push(now)
      const rows = [0, 1].map((kvHead) => {
        const everything = [...kept, ...Array.from({ length: i + 1 }, (_, at) => length + at)]
        if (everything.length <= budgetTokens) return everything
        const query = meanOf(open.flatMap((at) => [0, 1].map((of) => numbers.query(layer, kvHead * 2 + of, at))))
        const ranked = sentences
          .filter((rows) => rows.length > 0)
          .map((rows) => ({ rows, score: dot(meanOf(rows.map((at) => numbers.key(layer, kvHead, at))), query) }))
          .sort((a, b) => b.score - a.score)
        const always = [...everything.slice(0, sinkTokens), ...everything.slice(-recentTokens)]
        const others = ranked.flatMap(({ rows }) => rows).filter((at) => !always.includes(at))
        return [...always, ...others.slice(0, budgetTokens - always.length)].sort((a, b) => a - b)
      })
      if (ends(piece)) sentences.push(open.splice(0))
      return rows
    })
  })
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0)
const meanOf = (rows: readonly ArrayLike<number>[]) =>
  Array.from(rows[0], (_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length)

async function read(
  prompt: readonly string[],
  answer: readonly string[],
  keep: number,
  seed: number,
  always: typeof bare,
) {
  const sequence = new TestSequence(paper(keep, always), testNumbers(seed))
  await sequence.prefill(prompt)
  const steps = await sequence.decodeAll(answer)
  return steps.map((layers, i) =>
    layers.map((heads) => heads ?? [0, 1].map(() => Array.from({ length: prompt.length + i + 1 }, (_, at) => at))),
  )
}

describe('as the paper describes it', () => {
  test('any text reads the rows that a plain search finds', async () => {
    const piece = fc.constantFrom(' a', ' b', ' c', '.', '?\n', '。', '')
    const prompt = fc.array(piece, { minLength: 1, maxLength: 150, size: 'max' })
    const answer = fc.array(piece, { minLength: 1, maxLength: 30, size: 'max' })
    const visible = fc.record({ sinkTokens: fc.nat(6), recentTokens: fc.integer({ min: 1, max: 12 }) })
    await fc.assert(
      fc.asyncProperty(
        prompt,
        answer,
        fc.constantFrom(1, 3),
        fc.nat(99),
        visible,
        async (asked, answered, keep, seed, always) => {
          const expected = plainSteps(testNumbers(seed), asked, answered, keep, always)
          expect(await read(asked, answered, keep, seed, always)).toEqual(expected)
        },
      ),
      { numRuns: 60 },
    )
  }, 60_000)

  test('one set of rows stays a layer, the same for every head; the rest is dropped for good', async () => {
    const sequence = new TestSequence(paper(), testNumbers(1))
    const { keep } = await sequence.prefill(prose(30))
    expect(keep).toHaveLength(2)
    for (const list of keep!) {
      expect(indicesOfRow(list, 0)).toHaveLength(3 * budgetTokens)
      expect(indicesOfRow(list, 1)).toEqual(indicesOfRow(list, 0))
    }
    expect(indicesOfRow(keep![0], 0)).not.toEqual(indicesOfRow(keep![1], 0))
    expect(sequence.counts().heldTokens).toBe(2 * 2 * 3 * budgetTokens)
  })

  test('with nothing always visible, the current token alone is: no sink, no recent token, no dense step', async () => {
    const numbers = { ...testNumbers(1), query: () => new Float32Array(8).fill(1) }
    const key = (layer: number, kvHead: number, index: number) =>
      index < 10 || index >= 290 ? new Float32Array(8).fill(-1) : testNumbers(1).key(layer, kvHead, index)
    const sequence = new TestSequence(paper(), { ...numbers, key })
    await sequence.prefill(prose(30))
    const steps = await sequence.decodeAll([' a', '.', ' b', ' c'])
    for (const [i, step] of steps.entries()) {
      for (const rows of step[0]!) {
        expect(rows).toHaveLength(budgetTokens)
        expect(rows.filter((at) => at < 10 || at >= 290)).toEqual([300 + i])
      }
    }
    expect(sequence.counts()).toMatchObject({ steps: 4, denseSteps: 0, pooledTokens: 0, attendedTokens: 4 * 4 * 20 })
  })

  test('a generated sentence can be brought back once it is closed', async () => {
    const ones = () => new Float32Array(8).fill(1)
    const key = (layer: number, kvHead: number, index: number) =>
      index >= 300 && index < 305
        ? ones()
        : testNumbers(1)
            .key(layer, kvHead, index)
            .map((value) => value / 9)
    const sequence = new TestSequence(paper(), { ...testNumbers(1), query: ones, key })
    await sequence.prefill(prose(30))
    const steps = await sequence.decodeAll([...words(4), '.', ' b'])
    const generated = (step: number) => steps[step][0]![0].filter((at) => at >= 300)
    expect(generated(3)).toEqual([303])
    expect(generated(5)).toEqual([300, 301, 302, 303, 304, 305])
  })

  test('everything is read while it fits the budget', async () => {
    const sequence = new TestSequence(paper(), testNumbers(1))
    await sequence.prefill(prose(1))
    const steps = await sequence.decodeAll(words(12))
    expect(steps.map((step) => step[0] === null)).toEqual([...new Array(10).fill(true), false, false])
    expect(sequence.counts().denseSteps).toBe(10)
  })
})

test('sinks and recent tokens are always read, and count in the budget', async () => {
  const sequence = new TestSequence(sentenceKv({ mode: 'paper', budgetTokens: 24 }), testNumbers(1))
  const { keep } = await sequence.prefill(prose(30))
  const [step] = await sequence.decodeAll([' a'])
  for (const rows of step[0]!) {
    expect(rows).toHaveLength(24)
    expect(rows.slice(0, 4)).toEqual(indicesOfRow(keep![0], 0).slice(0, 4))
    expect(rows.at(-1)).toBe(300)
    expect(rows.slice(-16, -1)).toEqual(indicesOfRow(keep![0], 0).slice(-15))
  }
})

test.each([
  { budgetTokens: 20 },
  { recentTokens: 0 },
  { sinkTokens: 60 },
  { keep: 0.9 },
  { keep: 'all' },
  { windowTokens: 0 },
])('%o is refused', (options) => {
  expect(() => sentenceKv({ mode: 'paper', budgetTokens: 64, ...options } as never)).toThrow(OptionError)
})
