import { CapabilityError, type KvReader, OptionError } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { availableBackends } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { headDim, heldRows, numHeads, numKvHeads, numLayers, profileOf } from '../test-fixtures/held-rows.ts'
import { resolveRule, type SelectionOptions } from './selection-rule.ts'
import { type IndexOptions, SemanticIndex, uniformLayer } from './semantic-index.ts'

const numTokens = 300
const ends = Array.from({ length: 12 }, (_, i) => 24 * (i + 1)) // 288 closed, 12 open
const queries = Array.from({ length: 6 }, (_, seed) => seededRandom(100 + seed).normals(numHeads * headDim, 2))

/** Every kind of choice but those with a prefilter. */
const choices: Partial<SelectionOptions>[] = [
  {},
  { jointHeads: false },
  { poolFactor: 0 },
  { sinkTokens: 0, recentTokens: 1 },
  { query: 'mean' },
  { query: 'ema', emaDecay: 0.9 },
  { certify: 'report' },
  { certify: 'extend' },
]

// An index reads rows in host memory.
const backends = availableBackends().flatMap(({ backend, missing }) => (missing || backend === 'cuda' ? [] : backend))

type Rows = Awaited<ReturnType<typeof heldRows>>

async function indexOf({ profile, reader }: Rows, options: IndexOptions = {}): Promise<SemanticIndex> {
  const index = SemanticIndex.open(profile, options)
  await index.extend(reader, ends)
  return index
}

describe.each(backends)('on the %s kernels', (backend) => {
  let rows: Rows
  beforeAll(async () => {
    rows = await heldRows(backend, numTokens, 1)
  })
  afterAll(() => rows.kernels.dispose())

  test('an index covers what it was given, and forgets from a token on', async () => {
    const index = SemanticIndex.open(rows.profile)
    expect([index.numTokens, index.numSegments]).toEqual([0, 0])
    await index.extend(rows.reader, ends.slice(0, 3))
    await index.extend(rows.reader, [])
    await index.extend(rows.reader, ends.slice(3, 5))
    expect([index.numTokens, index.numSegments]).toEqual([120, 5])
    index.truncate(119)
    expect([index.numTokens, index.numSegments]).toEqual([96, 4])
    index.dispose()
  })

  test('it does not matter in how many calls an index grew, nor that it was cut back', async () => {
    for (const basis of ['principal', 'channels'] as const) {
      const whole = await indexOf(rows, { basis })
      const grown = SemanticIndex.open(rows.profile, { basis })
      for (const end of ends) await grown.extend(rows.reader, [end])
      grown.truncate(130)
      await grown.extend(rows.reader, ends.slice(5))
      const rule = resolveRule({ budgetTokens: 64, poolFactor: 1.5 })
      for (const q of queries) {
        const choices = [whole, grown].map((index) => rows.choose(index.selector(rows.profile, rule), 1, q))
        expect(await choices[1]).toEqual(await choices[0])
      }
    }
  })

  test('a clone goes on by itself', async () => {
    const index = await indexOf(rows)
    const clone = index.clone()
    clone.truncate(48)
    expect([index.numTokens, clone.numTokens]).toEqual([288, 48])
    index.dispose()
    expect(clone.numSegments).toBe(2)
  })

  test('every choice holds sinks, recent and open tokens, and the budget as the mean over heads', async () => {
    const byChannel = await indexOf(rows, { basis: 'channels' })
    const cases = [
      ...[await indexOf(rows), byChannel].flatMap((index) => choices.map((options) => ({ index, options }))),
      { index: byChannel, options: { prefilterFactor: 3 } },
    ]
    for (const { index, options } of cases) {
      const rule = resolveRule({ budgetTokens: 64, ...options })
      for (const q of queries) {
        const chosen = await rows.choose(index.selector(rows.profile, rule), 0, q)
        const visible = [
          ...range(0, rule.sinkTokens),
          ...range(Math.min(288, numTokens - rule.recentTokens), numTokens),
        ]
        for (const indices of chosen) expect(indices).toEqual(expect.arrayContaining(visible))
        expect(chosen.flat().length).toBe(64 * numKvHeads)
        if (!rule.jointHeads) expect(chosen.map(({ length }) => length)).toEqual([64, 64])
      }
    }
  })

  test('a budget of the whole length chooses everything', async () => {
    const index = await indexOf(rows)
    const selector = index.selector(rows.profile, resolveRule({ budgetTokens: numTokens }))
    expect(await rows.choose(selector, 0, queries[0])).toEqual([range(0, numTokens), range(0, numTokens)])
  })

  test('every token can be reached: a query along its key chooses it', async () => {
    const indexes = [await indexOf(rows), await indexOf(rows, { basis: 'channels' })]
    for (const [layer, index] of range(0, numLayers).flatMap((layer) =>
      indexes.map((index) => [layer, index] as const),
    )) {
      const selector = index.selector(rows.profile, resolveRule({ budgetTokens: 48 }))
      for (let token = 0; token < numTokens; token += 7) {
        const q = new Float32Array(numHeads * headDim)
        for (const head of range(0, numHeads)) {
          const key = rows.reader.keys(layer, Math.floor(head / 2), token, token + 1)
          q.set(
            key.map((value) => 2 * value),
            head * headDim,
          )
        }
        for (const indices of await rows.choose(selector, layer, q)) expect(indices).toContain(token)
      }
    }
  })

  test('a choice answers the steps that follow until the query drifts, and goes on in a copy', async () => {
    const index = await indexOf(rows)
    const rule = resolveRule({ budgetTokens: 64, rerankSteps: 3 })
    const first = index.selector(rows.profile, rule)
    const q = queries[0]
    const chosen = await rows.choose(first, 0, q, 298)
    const copy = index.clone()
    const second = copy.selector(rows.profile, rule, first)
    for (const selector of [first, second]) {
      const next = await rows.choose(selector, 0, q, 299)
      expect(next).toEqual(chosen.map((indices) => [...indices, 298]))
      expect(selector.counts().reusedCalls).toBe(1)
    }
    const away = q.map((x) => -x)
    await rows.choose(first, 0, away, 300)
    expect(first.counts()).toMatchObject({ calls: 3, reusedCalls: 1 })
    expect(await rows.choose(second, 0, q, 300)).toEqual(chosen.map((indices) => [...indices, 298, 299]))
    expect(second.counts()).toMatchObject({ calls: 2, reusedCalls: 2, pooledTokens: 0 })
  })

  test('a running query begins anew when a segment closes', async () => {
    const index = await indexOf(rows)
    const rule = resolveRule({ budgetTokens: 48, poolFactor: 0, query: 'mean' })
    const current = resolveRule({ budgetTokens: 48, poolFactor: 0 })
    const [first, second] = queries
    const running = index.selector(rows.profile, rule)
    await rows.choose(running, 0, first, 296)
    const mean = first.map((x, i) => (x + second[i]) / 2)
    expect(await rows.choose(running, 0, second, 297)).toEqual(
      await rows.choose(index.selector(rows.profile, current), 0, mean, 297),
    )
    await index.extend(rows.reader, [290])
    expect(await rows.choose(running, 0, second, 298)).toEqual(
      await rows.choose(index.selector(rows.profile, current), 0, second, 298),
    )
  })

  test('certificates are counted, and an extended pool holds at least what a pool does', async () => {
    const index = await indexOf(rows, { codeBits: 4 })
    for (const q of queries) {
      const report = index.selector(rows.profile, resolveRule({ budgetTokens: 64, certify: 'report' }))
      await rows.choose(report, 0, q)
      expect(report.counts().certifiedHeads).toBeLessThanOrEqual(numKvHeads)
      const extend = index.selector(rows.profile, resolveRule({ budgetTokens: 64, certify: 'extend' }))
      const extended = await rows.choose(extend, 0, q)
      expect(extend.counts().certifiedHeads).toBe(numKvHeads)
      expect(extend.counts().pooledTokens).toBeGreaterThanOrEqual(numKvHeads * 128)
      expect(extended.flat().length).toBe(64 * numKvHeads)
    }
  })

  test('bytes grow with tokens and bits', async () => {
    const sizes = await Promise.all(
      ([0, 1, 2, 4] as const).map(async (codeBits) => [
        (await indexOf(rows, { codeBits, vectorBits: 8 })).bytes,
        (await indexOf(rows, { codeBits, vectorBits: 16 })).bytes,
      ]),
    )
    for (const [small, large] of sizes) expect(large).toBeGreaterThan(small)
    for (const row of [0, 1]) {
      const column = sizes.map((both) => both[row])
      expect(column).toEqual([...column].sort((a, b) => a - b))
      expect(new Set(column).size).toBe(4)
    }
  })
})

test.skipIf(backends.length < 2)(
  'compiled and plain kernels choose the same of the same rows, up to near ties',
  async () => {
    for (const seed of [1, 2, 3]) {
      const [cpu, plain] = await Promise.all([heldRows('cpu', numTokens, seed), heldRows('reference', numTokens, seed)])
      expect(cpu.reader.keys(1, 1, 0, numTokens)).toEqual(plain.reader.keys(1, 1, 0, numTokens))
      for (const format of [
        { codeBits: 1 },
        {},
        { basis: 'channels' },
        { codeBits: 4, vectorBits: 8 },
      ] as IndexOptions[]) {
        const indexes = [await indexOf(cpu, format), await indexOf(plain, format)]
        const prefiltered = format.basis === 'channels' ? [{ prefilterFactor: 2 }] : []
        for (const options of [{}, { jointHeads: false }, { poolFactor: 0 }, ...prefiltered]) {
          const rule = resolveRule({ budgetTokens: 64, ...options })
          for (const q of queries) {
            const mine = await cpu.choose(indexes[0].selector(cpu.profile, rule), 1, q)
            const theirs = await plain.choose(indexes[1].selector(plain.profile, rule), 1, q)
            const differing = mine.flatMap((indices, head) => indices.filter((index) => !theirs[head].includes(index)))
            expect(differing.length, JSON.stringify({ seed, format, options })).toBeLessThanOrEqual(1)
          }
        }
      }
      await Promise.all([cpu.kernels.dispose(), plain.kernels.dispose()])
    }
  },
)

describe('misuse', () => {
  test('an engine without kernels is refused', () => {
    expect(() => SemanticIndex.open(profileOf(undefined))).toThrow(CapabilityError)
  })

  test('KV that lies elsewhere is refused', async () => {
    const { kernels, profile, reader } = await heldRows('reference', 16, 1)
    const elsewhere: KvReader = { numTokens: 16, keys: reader.keys, values: reader.values }
    await expect(SemanticIndex.open(profile).extend(elsewhere, [8])).rejects.toThrow(CapabilityError)
    await kernels.dispose()
  })

  test('principal channels without codes, or with a prefilter, are refused', async () => {
    const { kernels, profile } = await heldRows('reference', 16, 1)
    expect(() => SemanticIndex.open(profile, { basis: 'principal', codeBits: 0 })).toThrow(OptionError)
    expect(() => SemanticIndex.open(profile, { base: 'principal' } as never)).toThrow('Did you mean basis?')
    const rule = resolveRule({ budgetTokens: 64, prefilterFactor: 3 })
    expect(() => SemanticIndex.open(profile).selector(profile, rule)).toThrow(/prefilterFactor: .*basis: 'channels'/)
    await kernels.dispose()
  })

  test('layers of several shapes and sliding windows are refused with a way out', () => {
    expect(uniformLayer(profileOf(undefined)).headDim).toBe(headDim)
    expect(() => uniformLayer(profileOf(undefined, [{}, { numKvHeads: 4 }]))).toThrow(/layer 1 of another shape/)
    expect(() => uniformLayer(profileOf(undefined, [{}, { headDim: 64 }]))).toThrow(/layer 1 of another shape/)
    expect(() => uniformLayer(profileOf(undefined, [{}, { windowTokens: 64 }]))).toThrow(
      /layer 1 with a sliding window/,
    )
    expect(() => uniformLayer(profileOf(undefined, [{ windowTokens: 64 }]))).toThrow(CapabilityError)
  })
})

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i)
}
