import { seededRandom } from '@kvasir/core/testing'
import { availableBackends } from '@kvasir/kernels'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KvasirOptions } from './kvasir/options.ts'
import { SentenceBounds } from './kvasir/sentence-bounds.ts'
import { promptBuckets } from './pool/buckets.ts'
import { releasedRule } from './released/released-rule.ts'
import { sentenceKv } from './sentence-kv.ts'
import { KernelRows, queryAlong, shape } from './testing/kernel-sequence.ts'
import { ReleasedEmulation, spelledOut } from './testing/released-emulation.ts'
import { TestSequence, testNumbers } from './testing/test-sequence.ts'

const { numLayers, numHeads, numKvHeads, headDim } = shape
const budgetTokens = 48
const capacity = 448

const pieces = (...words: readonly string[]) =>
  fc.array(fc.constantFrom(...words), { minLength: 100, maxLength: capacity, size: 'max' })
const texts: readonly [string, fc.Arbitrary<string[]>][] = [
  ['no punctuation', pieces(' a', ' word', 'ing', ' longer', ' 7')],
  ['punctuation alone', pieces('.', '!', '?', '...', ',', ';', '"', '.)', '.\n')],
  ['CJK', pieces('语', '', '句', '。', '、', '！', '「', '」', '読', '\n')],
  ['code', pieces('  ', 'if', ' (', 'x', ')', ' {', '\n', '}', ';', ' =', ' 0.5', '()', ' //', ' not')],
  [
    'mixed scripts and control characters',
    pieces(' Да', '.', ' no', '\u0000', '\u001b[0m', 'ع', '؟', '\ufeff', '\u2028', '😀', '', '\t'),
  ],
]

const variants: readonly Partial<KvasirOptions>[] = [
  {},
  { jointHeads: false },
  { poolFactor: 0 },
  { codeBits: 1 },
  { codeBits: 4, vectorBits: 8 },
  { basis: 'channels' },
  { certify: 'extend' },
  { pieceTokens: 8 },
  { sinkTokens: 0, recentTokens: 1, maxSegmentTokens: 5 },
]

// Thousands of steps: too long for an emulated GPU.
const backends = availableBackends().flatMap(({ backend, missing }) => (missing || backend === 'cuda' ? [] : backend))

describe.each(backends)('acceptance, on the %s kernels', (backend) => {
  let rows: KernelRows
  beforeAll(async () => {
    rows = await KernelRows.write(backend, capacity, 1)
  })
  afterAll(() => rows.kernels.dispose())

  const kvasir = (options: Partial<KvasirOptions> = {}) => sentenceKv({ budgetTokens, ...options })
  const queries = (seed: number) => seededRandom(seed).normals(numHeads * headDim, 2)

  test('a budget of the whole length reads everything', async () => {
    const text = new Array<string>(capacity).fill(' word')
    const sequence = await rows.read(kvasir({ budgetTokens: capacity }), [text])
    const all = text.map((_, at) => at)
    expect(await sequence.choose(0, queries(1))).toEqual(new Array(numKvHeads).fill(all))
    await sequence.dispose()
  })

  test.each(texts)(
    'the budget is never exceeded and every token can be reached: %s',
    async (_, text) => {
      await fc.assert(
        fc.asyncProperty(text, fc.constantFrom(...variants), fc.nat(999), async (words, options, seed) => {
          const sequence = await rows.read(kvasir(options), [words])
          for (let layer = 0; layer < numLayers; layer++) {
            const chosen = await sequence.choose(layer, queries(seed))
            expect(chosen.flat().length).toBe(budgetTokens * numKvHeads)
            for (let token = seed % 7; token < sequence.numTokens; token += 13) {
              const along = queryAlong(rows.reader(sequence.numTokens), layer, token)
              const reached = await sequence.choose(layer, along)
              for (const indices of reached) expect(indices).toContain(token)
              expect(reached.flat().length).toBe(budgetTokens * numKvHeads)
            }
          }
          await sequence.dispose()
        }),
        { numRuns: backend === 'cpu' ? 15 : 4 },
      )
    },
    60_000,
  )

  test('a certified choice is the brute-force top-k, where each KV head has one query head and a budget of its own', async () => {
    const single = await KernelRows.write(backend, capacity, 2, numKvHeads)
    const words = Array.from({ length: capacity }, (_, at) => (at % 12 === 11 ? '.' : ' word'))
    const policy = kvasir({
      certify: 'extend',
      codeBits: 1,
      poolFactor: 1,
      jointHeads: false,
      sinkTokens: 0,
      recentTokens: 1,
      maxSegmentTokens: 12,
    })
    const sequence = await single.read(policy, [words])
    const kv = single.reader(capacity)
    for (let seed = 0; seed < 20; seed++) {
      const q = seededRandom(seed).normals(numKvHeads * headDim, 2)
      const chosen = await sequence.choose(seed % numLayers, q)
      for (const [head, indices] of chosen.entries()) {
        const keys = kv.keys(seed % numLayers, head, 0, capacity)
        const scores = words.map((_, at) => {
          const key = keys.subarray(at * headDim, (at + 1) * headDim)
          return key.reduce((sum, value, i) => sum + value * q[head * headDim + i], 0)
        })
        // Tokens of no closed sentence are read whatever their score.
        const closedTokens = 12 * Math.floor((capacity - 1) / 12)
        const open = words.map((_, at) => at).filter((at) => at >= closedTokens)
        const best = words.map((_, at) => at).filter((at) => at < closedTokens)
        best.sort((a, b) => scores[b] - scores[a])
        const expected = [...open, ...best.slice(0, budgetTokens - open.length)].sort((a, b) => a - b)
        expect(indices).toEqual(expected)
      }
    }
    await sequence.dispose()
    await single.kernels.dispose()
  })

  test('a prompt in chunks is the prompt at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(...texts.map(([, text]) => text)),
        fc.integer({ min: 1, max: 90 }),
        async (words, chunk) => {
          const [whole, cut] = [await rows.read(kvasir(), [words]), await rows.read(kvasir(), [words], chunk)]
          expect(await cut.choose(1, queries(chunk))).toEqual(await whole.choose(1, queries(chunk)))
          await Promise.all([whole.dispose(), cut.dispose()])
        },
      ),
      { numRuns: backend === 'cpu' ? 30 : 4 },
    )
  }, 60_000)

  test('two turns are their concatenation, where nothing is dropped', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(...texts.map(([, text]) => text)),
        fc.integer({ min: 1, max: 99 }),
        async (words, cut) => {
          const turns = [words.slice(0, cut), words.slice(cut)]
          const [whole, two] = [await rows.read(kvasir(), [words]), await rows.read(kvasir(), turns)]
          expect(await two.choose(1, queries(cut))).toEqual(await whole.choose(1, queries(cut)))
          await Promise.all([whole.dispose(), two.dispose()])
        },
      ),
      { numRuns: backend === 'cpu' ? 30 : 4 },
    )
  }, 60_000)
})

describe('acceptance', () => {
  test('the released mode loses what lies behind a cut bucket, in the numbers of the published code', () => {
    // A prompt like a list of needles: four sentences, of which the first three keep 47 rows of 2,048.
    const rule = releasedRule({ mode: 'released', budgetTokens: 1024, keptTokens: 2048 })
    expect(rule.bucketEntries(2048, 4)).toBe(1074)
    const kept = Int32Array.from({ length: 2048 }, (_, entry) => (entry < 47 ? entry : entry + 1500))
    const { starts, ends } = promptBuckets(kept, [15, 31, 47, 3700], new Float32Array(3700), 1, 1074)
    const reachable = starts.reduce((sum, start, i) => sum + ends[i] - start, 0)
    expect(2048 - reachable).toBe(927)
  })

  test('the released mode never brings back the entry after the first 32, and so reads what the published code reads', async () => {
    const words = Array.from({ length: 500 }, (_, at) => (at < 40 && at % 13 === 12 ? '.' : ' word'))
    const sequence = new TestSequence(sentenceKv({ mode: 'released', budgetTokens: 200 }), testNumbers(7))
    await sequence.prefill(words)
    const emulation = new ReleasedEmulation(testNumbers(7), 200, 3)
    emulation.prefill(words)
    for (const piece of [' a', ' b', ' c', '.', ' d', ' e']) {
      const read = spelledOut(await sequence.decode(piece), sequence.numTokens)
      expect(read).toEqual(emulation.decode(piece))
      if (piece !== ' a' && piece !== '.' && piece !== ' d') expect(read[0][0]).not.toContain(32)
    }
  })

  test('a line of 100,000 characters without an end is cut all along', () => {
    for (const word of ['a', ' word', '語', '.']) {
      const bounds = SentenceBounds.open(4, 64)
      let closed = 0
      for (let length = 0; length < 100_000; length += word.length) {
        for (const end of bounds.push(word)) {
          expect(end - closed).toBeLessThanOrEqual(64)
          closed = end
        }
      }
      expect(bounds.numTokens - closed).toBeLessThan(128)
    }
  }, 20_000)
})
