import { indicesOfRow } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import type { KeptRows, Kernels, KvArena } from './kernels.ts'
import { KeyedSequence } from './reference/selection/keyed-sequence.ts'
import { mixedNormals, normals } from './reference/selection/test-numbers.ts'
import type { SegmentIndex, SegmentIndexOptions, SegmentSelectorOptions } from './selection.ts'
import type { CountingSelector } from './selector-counts.ts'
import type { TierOptions } from './tier-options.ts'

const isHere = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const shape = { numKvHeads: 2, numHeads: 6, headDim: 16 }
const numTokens = 700
const endsTo = (last: number) => Int32Array.from({ length: Math.floor(last / 23) }, (_, i) => 23 * (i + 1))

/** What one backend has of the same text. */
interface Side {
  readonly kernels: Kernels
  readonly tier: TierOptions | undefined
  readonly sequence: KeyedSequence
  index(indexed: number, options?: Partial<SegmentIndexOptions>): Promise<SegmentIndex>
}

async function sideOf(backend: 'cpu' | 'cuda', tier?: TierOptions): Promise<Side> {
  const kernels = await loadKernels({ backend })
  const sequence = await KeyedSequence.write(kernels, { numTokens, ...shape, ...(tier && { tier }) })
  const { numKvHeads, headDim } = shape
  return {
    kernels,
    tier,
    sequence,
    async index(indexed, options = {}) {
      const index = kernels.createSegmentIndex({ numLayers: 1, numKvHeads, headDim, ...options })
      await index.extend(sequence.kv, endsTo(indexed))
      return index
    },
  }
}

const host = (hotBytes: number, pinned = true): TierOptions => ({ lower: { kind: 'host', pinned }, hotBytes })
const places: readonly (readonly [string, TierOptions | undefined])[] = [
  ['on the device', undefined],
  ['in pinned memory', host(60_000)],
  ['in pinned memory, blocks of them in slots', { ...host(100_000), unit: 'block' }],
  ['in ordinary memory', host(60_000, false)],
]

describe.skipIf(!isHere).each(places)('choices on a GPU are those of the CPU, rows %s', (_, tier) => {
  let sides: readonly [Side, Side]
  beforeAll(async () => {
    sides = [await sideOf('cpu'), await sideOf('cuda', tier)]
  })
  afterAll(() => Promise.all(sides.map(({ kernels }) => kernels.dispose())))

  const keptOf = (kernels: Kernels): KeptRows => {
    const kept = kernels.createKeptRows(1, shape.numKvHeads)
    keep(kept, (head, page) => (page + head) % 3 !== 0, 400)
    return kept
  }

  /** Chosen rows and counts of both, over some queries at growing lengths. */
  async function compare(
    make: (side: Side) => Promise<CountingSelector>,
    lengths: readonly number[],
    keptOfSide?: (kernels: Kernels) => KeptRows,
  ) {
    const results = []
    for (const side of sides) {
      const selector = await make(side)
      const kept = keptOfSide?.(side.kernels) ?? null
      const rows: number[][] = []
      for (const [step, length] of lengths.entries()) {
        const q = normals(shape.numHeads * shape.headDim, 300 + step).map((x) => 2 * x)
        rows.push(...(await side.sequence.choose(selector, q, length, kept)))
      }
      results.push({ rows, counts: selector.counts() })
    }
    const [cpu, gpu] = results as [(typeof results)[0], (typeof results)[0]]
    expectAlike(gpu.rows, cpu.rows)
    const { ms, ...counts } = gpu.counts
    expect(counts.calls).toBe(cpu.counts.calls)
    expect([counts.certifiedHeads, counts.reusedCalls]).toEqual([cpu.counts.certifiedHeads, cpu.counts.reusedCalls])
    expect(Math.abs(counts.attendedTokens - cpu.counts.attendedTokens)).toBeLessThanOrEqual(2)
    expect(Math.abs(counts.pooledTokens - cpu.counts.pooledTokens)).toBeLessThanOrEqual(4)
    expect(ms).toBeGreaterThan(0)
  }

  const budget = { budgetTokens: 64, sinkTokens: 4, recentTokens: 16 }
  test.each<[string, Partial<SegmentSelectorOptions>, Partial<SegmentIndexOptions>]>([
    ['a pool, joint heads', {}, {}],
    ['each head by itself', { jointHeads: false }, { vectorBits: 16 }],
    ['estimates alone', { poolFactor: 0 }, { codeBits: 4 }],
    ['estimates alone, each head by itself', { poolFactor: 0, jointHeads: false }, { codeBits: 1 }],
    ['a pool of all', { poolFactor: 20 }, {}],
    ['a budget smaller than what is visible', { budgetTokens: 10 }, {}],
    ['a budget for everything', { budgetTokens: 1000 }, {}],
    ['nothing forced', { sinkTokens: 0, recentTokens: 0 }, {}],
    ['a running query, on the host', { query: 'ema' }, {}],
    ['standing choices, on the host', { rerankSteps: 2 }, {}],
    ['a certificate, on the host', { certify: 'extend' }, {}],
    ['deviations of keys, on the host', { prefilterFactor: 3 }, { basis: 'channels' }],
    ['no codes, on the host', { poolFactor: 0 }, { codeBits: 0 }],
  ])('%s', async (_, options, format) => {
    for (const indexed of [0, 200, 640]) {
      const make = async ({ kernels, index }: Side) =>
        kernels.createSegmentSelector({ ...budget, ...options, index: await index(indexed, format) })
      await compare(make, [Math.max(indexed, 1), indexed + 5, Math.min(numTokens, indexed + 50)])
    }
  })

  test('rows that are not kept are never chosen', async () => {
    const make = async ({ kernels, index }: Side) =>
      kernels.createSegmentSelector({ ...budget, index: await index(600) })
    await compare(make, [600, 640, numTokens], keptOf)
  })

  test('kept rows count as they are when a run begins', async () => {
    for (const { kernels, index, sequence } of sides) {
      const selector = kernels.createSegmentSelector({ ...budget, budgetTokens: 200, index: await index(600) })
      const kept = kernels.createKeptRows(1, shape.numKvHeads)
      const pagesOf = async (rows: KeptRows) => {
        const chosen = await sequence.choose(selector, normals(96, 5), 640, rows)
        return new Set(chosen.flat().map((token) => Math.floor(token / 16)))
      }
      expect((await pagesOf(kept)).size).toBeGreaterThan(20)
      keep(kept, (_, page) => page % 2 === 0, 600)
      const copy = kept.clone()
      keep(kept, (_, page) => page % 4 === 0, 600)
      const below = (pages: Set<number>) => [...pages].filter((page) => page < 37)
      expect(below(await pagesOf(copy)).every((page) => page % 2 === 0)).toBe(true)
      expect(below(await pagesOf(kept)).every((page) => page % 4 === 0)).toBe(true)
      expect(below(await pagesOf(copy)).some((page) => page % 4 === 2)).toBe(true)
    }
  })

  test('exact scores', async () => {
    for (const options of [{}, { jointHeads: false }, { sinkTokens: 0, recentTokens: 0 }]) {
      const make = async ({ kernels }: Side) => kernels.createExactSelector({ ...budget, ...options })
      await compare(make, [1, 17, 300, numTokens])
      await compare(make, [300, numTokens], keptOf)
    }
  })

  test('an index that was cut, cloned and extended again', async () => {
    const make = async ({ kernels, index, sequence }: Side) => {
      const first = await index(640)
      const other = first.clone()
      first.truncate(300)
      await first.extend(sequence.kv, Int32Array.of(310, 340, 420, 600))
      const selector = kernels.createSegmentSelector({ ...budget, index: first })
      await sequence.choose(kernels.createSegmentSelector({ ...budget, index: other }), normals(96, 1), 650)
      other.truncate(100)
      expect((await sequence.choose(selector, normals(96, 2), 650)).flat().length).toBe(128)
      return selector
    }
    await compare(make, [610, 640, numTokens])
  })

  test('sequences of a batch, whoever chooses for them, are attended to', async () => {
    const outs = []
    for (const side of sides) outs.push(await attended(side))
    const [cpu, gpu] = outs as [Float32Array[], Float32Array[]]
    expect(gpu.length).toBe(cpu.length)
    cpu.forEach((out, i) => {
      const farthest = Math.max(...out.map((x, k) => Math.abs(x - (gpu[i]?.[k] ?? Number.NaN))))
      expect(farthest).toBeLessThan(2e-3)
    })
  })
})

/** Lets `kept` keep the pages below endTokens for which `keeps` says so. */
function keep(kept: KeptRows, keeps: (head: number, page: number) => boolean, endTokens: number): void {
  const rowStarts = [0]
  const runs: number[] = []
  for (let head = 0; head < shape.numKvHeads; head++) {
    for (let page = 0; page < endTokens / 16; page++) if (keeps(head, page)) runs.push(page, 0, 16)
    rowStarts.push(runs.length / 3)
  }
  kept.set(0, { rowStarts: Int32Array.from(rowStarts), runs: Int32Array.from(runs) }, endTokens)
}

/** Equal values are told apart by their last bits, which are not the same: a few rows may differ. */
function expectAlike(got: readonly number[][], wanted: readonly number[][]): void {
  expect(got.length).toBe(wanted.length)
  const others = wanted.flatMap((row, i) => row.filter((token) => !got[i]?.includes(token)))
  expect(got.flat().length).toBeGreaterThanOrEqual(wanted.flat().length - 2)
  expect(got.flat().length).toBeLessThanOrEqual(wanted.flat().length + 2)
  expect(others.length).toBeLessThanOrEqual(1)
}

/** Attention of two layers over a batch of three sequences, by several mixtures of selectors. */
async function attended({ kernels, tier }: Side): Promise<Float32Array[]> {
  const { numKvHeads, numHeads, headDim } = shape
  const [lengths, numPages] = [[600, 330, 90], 72]
  const arena = kernels.createArena({
    numLayers: 2,
    numKvHeads,
    headDim,
    capacityPages: numPages,
    ...(tier && { tier }),
  })
  const pageStarts = [0]
  for (const length of lengths) pageStarts.push((pageStarts.at(-1) as number) + Math.ceil(length / 16))
  const pages = Int32Array.from({ length: pageStarts.at(-1) as number }, (_, i) => numPages - 1 - i)
  await writeRows(kernels, arena, pages, pages.length * 16)
  const lists = kernels.createRunLists(3, numKvHeads)
  const q = [0, 1].map((layer) => Float32Array.from(normals(3 * numHeads * headDim, 70 + layer)))
  const out = [0, 1].map(() => new Float32Array(3 * numHeads * headDim))
  const contextTokens = Int32Array.from(lengths)
  const batch = {
    rowStarts: Int32Array.of(0, 1, 2, 3),
    contextTokens,
    pageStarts: Int32Array.from(pageStarts),
    pages,
  }
  const program = kernels.createProgram(
    [0, 1].flatMap((layer) => {
      const fixed = { arena, layer, q: q[layer]!, numHeads, scale: 0.25, batch, lists }
      return [
        { kind: 'selectRuns', ...fixed, windowTokens: 0 },
        { kind: 'attendRuns', ...fixed, out: out[layer]! },
      ] as const
    }),
  )
  const budget = { budgetTokens: 48, sinkTokens: 2, recentTokens: 12 }
  const selectors = []
  for (const [s, length] of lengths.entries()) {
    const index = kernels.createSegmentIndex({ numLayers: 2, numKvHeads, headDim })
    const own = pages.subarray(pageStarts[s]!, pageStarts[s + 1]!)
    await index.extend({ arena, pages: own }, endsTo(length - 7))
    selectors.push(kernels.createSegmentSelector({ ...budget, index }))
  }
  const exact = lengths.map(() => kernels.createExactSelector(budget))
  const results: Float32Array[] = []
  const run = async (chosen: Parameters<typeof program.run>[0]['selectors'], sequences = 3) => {
    await program.run({ tokens: sequences, sequences, selectors: chosen! })
    const width = sequences * numHeads * headDim
    results.push(...out.map((rows) => rows.slice(0, width)))
    for (let s = 0; s < sequences; s++) {
      const tokens = indicesOfRow(lists.get(s), 1)
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b))
      expect(tokens.at(-1)).toBe(contextTokens[s]! - 1)
    }
  }
  await run(selectors)
  await run(['given', 'given', 'given'])
  await run([selectors[0]!, selectors[1]!], 2)
  await run(['given', 'given', 'given'])
  await run([selectors[0]!, 'all', exact[2]!])
  await run(exact)
  await run([exact[0]!, exact[1]!, selectors[2]!])
  await run(selectors)
  contextTokens[0] = 590
  await expect(program.run({ tokens: 3, sequences: 3, selectors: ['given', 'given', 'given'] })).rejects.toThrow(
    'lists[0]',
  )
  return results
}

async function writeRows(kernels: Kernels, arena: KvArena, pages: Int32Array, rows: number): Promise<void> {
  const { numKvHeads, headDim } = shape
  const slots = Int32Array.from({ length: rows }, (_, i) => pages[Math.floor(i / 16)]! * 16 + (i % 16))
  for (const layer of [0, 1]) {
    const keys = Float32Array.from(mixedNormals(rows, numKvHeads * headDim, 11 + layer).flatMap((row) => [...row]))
    const values = seededRandom(layer).normals(keys.length)
    const write = { kind: 'writeKv', arena, layer, keys, values, slots, rows: 'tokens' } as const
    await kernels.createProgram([write]).run({ tokens: rows })
  }
}
