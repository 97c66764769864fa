import { indicesOfRow, OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sentenceKv } from '../sentence-kv.ts'
import { ReleasedEmulation, spelledOut } from '../testing/released-emulation.ts'
import { type StepRows, TestSequence, testNumbers } from '../testing/test-sequence.ts'

const budgetTokens = 72

/** `sentences` sentences of `words` words and a full stop. */
const prose = (sentences: number, words: number) =>
  Array.from({ length: sentences * (words + 1) }, (_, at) => (at % (words + 1) === words ? '.' : ' word'))

const released = (keep = 3) => sentenceKv({ mode: 'released', budgetTokens, keep })

async function open(prompt: readonly string[], keep = 3, seed = 1) {
  const numbers = testNumbers(seed)
  const sequence = new TestSequence(released(keep), numbers)
  const plan = await sequence.prefill(prompt)
  const emulation = new ReleasedEmulation(numbers, budgetTokens, keep)
  emulation.prefill(prompt)
  return { sequence, emulation, plan, numbers }
}

/** Decodes the pieces on both and expects the same rows at every step, layer and query head. */
async function expectSame({ sequence, emulation }: Awaited<ReturnType<typeof open>>, pieces: readonly string[]) {
  const steps: number[][][][] = []
  for (const piece of pieces) {
    const read = spelledOut(await sequence.decode(piece), sequence.numTokens)
    expect(read).toEqual(emulation.decode(piece))
    steps.push(read)
  }
  return steps
}

describe('as the published code', () => {
  test('a long answer of many sentences reads the same rows at every step, layer and query head', async () => {
    const run = await open(prose(40, 9))
    const steps = await expectSame(run, [...prose(12, 6), ' so', ' it', '?', '!', ' And', ' on', ' goes'])
    expect(
      steps.some((layers) => layers[0].some((rows, head) => rows.join() !== layers[0][0].join() && head > 0)),
    ).toBe(true)
  })

  test('so does any text with any amount kept', async () => {
    const piece = fc.constantFrom(' a', ' b', ' c', ' d', '.', '!', '?', '...', '.\n', '\n\n', '。')
    const prompt = fc.array(piece, { minLength: 1, maxLength: 400, size: 'max' })
    const answer = fc.array(piece, { minLength: 1, maxLength: 40, size: 'max' })
    await fc.assert(
      fc.asyncProperty(prompt, answer, fc.constantFrom(1, 1.5, 3), fc.nat(99), async (asked, answered, keep, seed) => {
        await expectSame(await open(asked, keep, seed), answered)
      }),
      { numRuns: 60 },
    )
  }, 60_000)
})

describe('quirks of the published code', () => {
  test('delimiters are whole tokens: merged ones, other scripts and blank lines end no sentence', async () => {
    for (const merged of ['.\n', '."', '.)', '?\n', '\n\n', '。', ' .']) {
      const { sequence } = await open(prose(20, 9))
      const [, second, third, fourth] = await sequence.decodeAll([' a', ' b', merged, ' c'])
      for (const step of [second, third, fourth]) expect(countsOf(step)).toEqual([budgetTokens])
    }
    for (const delimiter of ['.', '!', '?', '...']) {
      const { sequence } = await open(prose(40, 9))
      const [, second, third, fourth] = await sequence.decodeAll([' a', ' b', delimiter, ' c'])
      expect(countsOf(second)).toEqual([budgetTokens])
      expect([countsOf(third), countsOf(fourth)]).toEqual([[219], [220]])
    }
  })

  test('each query head keeps and chooses rows of its own', async () => {
    const { sequence, plan } = await open(prose(60, 9))
    const [, step] = await sequence.decodeAll([' a', ' b'])
    expect(step[0]).toHaveLength(4)
    expect(new Set(step[0]!.map((rows) => rows.join())).size).toBe(4)
    // A KV head holds what any of its query heads keeps.
    const held = indicesOfRow(plan.keep![0], 0).length
    expect(held).toBeGreaterThan(3 * budgetTokens)
    expect(held).toBeLessThanOrEqual(2 * 3 * budgetTokens)
  })

  test('what stays is chosen by max-pooled attention of the whole prompt, whatever the sentence, window rows included', async () => {
    const numbers = { ...testNumbers(1), mass: (_: number, numTokens: number) => peaked(numTokens, [40, 300]) }
    const sequence = new TestSequence(sentenceKv({ mode: 'released', budgetTokens: 65, keep: 1 }), numbers)
    await sequence.prefill(prose(60, 9))
    const [dense] = await sequence.decodeAll([' a'])
    // Seven neighbours of each peak; of the other rows, all alike, the first ones.
    const kept = new Set(dense[0]![0])
    for (const at of [37, 40, 43, 297, 303]) expect(kept.has(at)).toBe(true)
    for (const at of [36, 44, 296, 304]) expect(kept.has(at)).toBe(false)
    for (let at = 568; at < 600; at++) expect(kept.has(at)).toBe(true)
    expect(kept.size).toBe(65 + 1)
  })

  test('a bucket is cut at S = max(100, 2 floor(kept / sentences) + 50): what lies behind is out of reach', async () => {
    const mass = (_: number, numTokens: number) => new Float32Array(4 * numTokens) // all alike: the first rows stay
    const numbers = { ...testNumbers(1), mass }
    const sequence = new TestSequence(sentenceKv({ mode: 'released', budgetTokens: 300, keep: 1 }), numbers)
    await sequence.prefill(['.', '.', '.', ...new Array(396).fill(' word')])
    const [dense, step] = await sequence.decodeAll([' a', ' b'])
    // 300 kept in 4 sentences: S = 200, so the last one, from entry 3 on, brings back entries up to 203 of 302.
    const entries = [...dense[0]![0], 400]
    const read = entries.filter((_, entry) => entry < 32 || (entry > 32 && entry < 203) || entry >= 302 - 32)
    expect(step[0]![0]).toEqual(read)
    expect(read).toHaveLength(300 - 66)
  })

  test('the entry after the first 32 is read at dense steps alone', async () => {
    const { sequence } = await open(prose(4, 19), 1e3)
    const steps = await sequence.decodeAll(new Array(20).fill(' a'))
    expect(steps[0][0]).toBeNull()
    for (const step of steps.slice(1)) {
      for (const rows of step[0]!) {
        expect(rows).not.toContain(32)
        expect(rows.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, at) => at))
      }
    }
  })

  test('even a budget of the whole length is not the full cache', async () => {
    const sequence = new TestSequence(sentenceKv({ mode: 'released', budgetTokens: 4096 }), testNumbers(1))
    await sequence.prefill(prose(10, 9))
    const [first, second] = await sequence.decodeAll([' a', ' b'])
    expect(first[0]).toBeNull()
    expect(countsOf(second)).toEqual([101])
  })

  test('the first token of a sentence and every delimiter read the whole pool', async () => {
    const { sequence } = await open(prose(60, 9))
    const dense = (await sequence.decodeAll([' a', ' b', ' c', '.', ' d', ' e', '!', '?', ' f'])).map(
      (step) => step[0]![0].length > budgetTokens,
    )
    expect(dense).toEqual([true, false, false, true, true, false, true, true, true])
    expect(sequence.counts()).toMatchObject({ steps: 9, denseSteps: 6 })
  })

  test('the query is the mean over the sentence being generated, which starts empty after the prompt', async () => {
    const axis = (i: number, length: number) => new Float32Array(8).fill(length, i, i + 1)
    // Queries point along one axis after the other; one sentence lies along the first axis, another along the second.
    const query = (_layer: number, _head: number, index: number) => axis(index - 140, 1)
    const key = (_layer: number, _kvHead: number, index: number) =>
      index >= 60 && index < 80 ? axis(0, 4) : index >= 80 && index < 100 ? axis(1, 3) : new Float32Array(8)
    const sequence = new TestSequence(released(1e3), { ...testNumbers(1), query, key })
    await sequence.prefill(prose(7, 19))
    const [, second] = await sequence.decodeAll([' a', ' b'])
    // The current query alone would bring back the second sentence.
    expect(second[0]![0].slice(32, 40)).toEqual([60, 61, 62, 63, 64, 65, 66, 67])
  })

  test('an empty bucket has a zero vector: it ranks before negative scores and brings nothing', async () => {
    const flatBut = (_: number, numTokens: number) =>
      Float32Array.from({ length: 4 * numTokens }, (_, i) => (((i % numTokens) - 25) ** 2 < 120 ? 0 : 2))
    const numbers = { ...testNumbers(1), mass: flatBut, key: () => new Float32Array(8).fill(-1), query: ones }
    const sequence = new TestSequence(released(2), numbers)
    await sequence.prefill(prose(20, 9))
    const [dense, step] = await sequence.decodeAll([' a', ' b'])
    const third = (rows: readonly number[]) => rows.filter((at) => at >= 20 && at < 30)
    expect(dense[0]!.flatMap(third)).toEqual([])
    expect(countsOf(step)).toEqual([budgetTokens])
  })

  test('generated sentences become buckets of all their keys, one longer than S is lost', async () => {
    for (const [length, back] of [
      [60, true],
      [120, false],
    ] as const) {
      const numbers = testNumbers(5)
      // Keys of the answer point where all later queries point; those of the prompt do not.
      const key = (layer: number, kvHead: number, index: number) =>
        index < 600 ? numbers.key(layer, kvHead, index) : new Float32Array(8).fill(9)
      const sequence = new TestSequence(released(), { ...numbers, key, query: ones })
      await sequence.prefill(prose(60, 9)) // 216 kept in 60 sentences: S = 100
      await sequence.decodeAll([...new Array(length - 1).fill(' a'), '.'])
      const later = await sequence.decodeAll(new Array(40).fill(' b'))
      const rows = later[39][0]![0]
      expect(rows.includes(600)).toBe(back)
    }
  })

  test('the open sentence is visible through the last 32 alone', async () => {
    const { sequence } = await open(prose(60, 9))
    const steps = await sequence.decodeAll(new Array(50).fill(' a'))
    const rows = steps[49][0]![0]
    expect(rows.filter((at) => at >= 600)).toEqual(Array.from({ length: 32 }, (_, at) => 618 + at))
  })

  test('a prompt shorter than the window is not pruned', async () => {
    const { sequence, plan } = await open(prose(3, 9))
    expect(plan).toEqual({})
    expect((await sequence.decode(' a'))[0]).toBeNull()
  })
})

test('a budget that the first and last 32 fill is refused, with the ways out', () => {
  expect(() => sentenceKv({ mode: 'released', budgetTokens: 64 })).toThrow(OptionError)
  expect(() => sentenceKv({ mode: 'released', budgetTokens: 64 })).toThrow(
    /at least 65.*Raise the budget, or take mode/,
  )
})

test('it counts the rows that must stay, and what a query head reads on average', async () => {
  const { sequence, plan } = await open(prose(60, 9))
  const held = () => plan.keep!.flatMap((list) => [0, 1].map((row) => indicesOfRow(list, row).length))
  const kept = held().reduce((sum, count) => sum + count, 0)
  expect(sequence.counts()).toMatchObject({ heldTokens: kept, attendedTokens: 0 })
  await sequence.decodeAll([' a', ' b'])
  // Two layers of two KV heads; a dense step reads 216 kept rows and the current one.
  expect(sequence.counts()).toMatchObject({ heldTokens: kept + 2 * 4, attendedTokens: (217 + 72) * 4 })
})

/** How many rows the heads of layer 0 read. */
function countsOf(step: StepRows): number[] {
  return [...new Set(step[0]?.map((rows) => rows.length) ?? [])]
}

/** Mass [numHeads][numTokens] that is 1 at the given tokens and 0 elsewhere. */
function peaked(numTokens: number, at: readonly number[]): Float32Array {
  return Float32Array.from({ length: 4 * numTokens }, (_, i) => (at.includes(i % numTokens) ? 1 : 0))
}

function ones(): Float32Array {
  return new Float32Array(8).fill(1)
}
