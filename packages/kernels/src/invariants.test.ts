import { type RunList, runsOfIndices, runsOfSpans } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { loadRows, randomKv, randomPositions, randomRows, runOnce } from './case-data.ts'
import { anyShapes, type CaseKind, cases } from './cases.ts'
import type { WeightType } from './kernels.ts'
import { loadTested, testedBackends } from './tested-backends.ts'

const backends = testedBackends().filter(({ backend }) => backend !== 'reference')
const isas = backends.flatMap(({ backend, isa }) => (backend === 'cpu' ? [isa] : []))
const paths = ['prefill', 'decode'] as const
const modes = ['exact', 'fast'] as const

describe.each(isas)('%s', (isa) => {
  const one = loadKernels({ backend: 'cpu', isa, numThreads: 1 })
  const three = loadKernels({ backend: 'cpu', isa, numThreads: 3 })
  afterAll(async () => {
    await (await one).dispose()
    await (await three).dispose()
  })

  test.each(Object.keys(cases) as CaseKind[])('%s has the same bits on 1 and 3 threads', async (kind) => {
    for (let seed = 1000; seed < 1020; seed++) {
      const [a, b] = [await cases[kind](await one, seed, anyShapes), await cases[kind](await three, seed, anyShapes)]
      a.outputs.forEach((values, i) => {
        assertSameBits(b.outputs[i]!, values, `seed ${seed}, output ${i}`)
      })
    }
  })
})

describe.each(backends)('$backend $isa', ({ backend, isa }) => {
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())
  // Emulation is slow.
  const isSlow = backend === 'cuda'

  test.each(paths.flatMap((path) => modes.map((mode) => [path, mode] as const)))(
    'a row of a linear layer (%s, %s) does not depend on its neighbours',
    async (path, mode) => {
      const kernels = await loaded
      for (const type of ['F32', 'F16', 'Q8_0', 'Q4_0', 'Q4_K', 'Q6_K'] satisfies WeightType[]) {
        const random = seededRandom(7)
        const [rows, cols, outs] = isSlow ? [37, 256, 20] : [37, 512, 70]
        const weight = await loadRows(kernels, type, cols, randomRows(random, type, outs, cols))
        const x = random.normals(rows * cols)
        const apply = async (first: number, count: number) => {
          const out = new Float32Array(count * outs)
          const parts = [{ weight, out }]
          const op = {
            kind: 'linear' as const,
            x: x.subarray(first * cols),
            parts,
            rows: 'tokens' as const,
            path,
            mode,
          }
          await runOnce(kernels, [op], { tokens: count })
          return out
        }
        const whole = await apply(0, rows)
        for (const [first, count] of [
          [0, 1],
          [5, 1],
          [36, 1],
          [3, 9],
          [20, 17],
        ] as const) {
          assertSameBits(await apply(first, count), whole.subarray(first * outs, (first + count) * outs), type)
        }
      }
    },
  )

  test('a prefilled row does not depend on how the prompt is cut into chunks', async () => {
    const kernels = await loaded
    const random = seededRandom(11)
    const context = 75
    const shape = { numLayers: 1, numKvHeads: 2, headDim: 64, type: 'f16' as const, sequences: 1 }
    const kv = await randomKv(kernels, random, { ...shape, contextOf: () => context, rowsOf: () => context })
    const rowValues = 6 * 64
    const q = random.normals(context * rowValues)
    for (const windowTokens of [0, 9]) {
      const attend = async (first: number, end: number) => {
        const out = new Float32Array((end - first) * rowValues)
        const batch = { ...kv.batch, rowStarts: Int32Array.of(0, end - first), contextTokens: Int32Array.of(end) }
        const fixed = { kind: 'attendPrefill' as const, arena: kv.arena, layer: 0, numHeads: 6, scale: 0.125 }
        const op = { ...fixed, q: q.subarray(first * rowValues), windowTokens, batch, out }
        await runOnce(kernels, [op], { tokens: end - first, sequences: 1 })
        return out
      }
      const whole = await attend(0, context)
      for (const [first, end] of [
        [0, 1],
        [0, 40],
        [40, 75],
        [16, 17],
        [33, 64],
        [74, 75],
      ] as const) {
        assertSameBits(await attend(first, end), whole.subarray(first * rowValues, end * rowValues), `${first}-${end}`)
      }
    }
  })

  test('a row at a given position has the bits that it has among all rows', async () => {
    const kernels = await loaded
    const random = seededRandom(12)
    for (const [headDim, group, type] of [
      [64, 3, 'f16'],
      [80, 1, 'f16'],
      [64, 7, 'f32'],
    ] as const) {
      const contexts = isSlow ? [40, 1, 70] : [300, 1, 517]
      const shape = { numLayers: 1, numKvHeads: 2, headDim, type, sequences: 3 }
      const next = contexts.values()
      const kv = await randomKv(kernels, random, {
        ...shape,
        contextOf: () => next.next().value!,
        rowsOf: (all) => all,
      })
      const rowValues = 2 * group * headDim
      const q = random.normals(kv.tokens * rowValues)
      for (const windowTokens of isSlow ? [0, 9] : [0, 9, 200]) {
        const attend = async (counts: readonly number[] | null) => {
          const rowStarts = counts === null ? kv.batch.rowStarts : Int32Array.from([0, ...counts].map(sumUpTo))
          const batch = { ...kv.batch, rowStarts }
          const positions = counts === null ? undefined : randomPositions(random, batch)
          const rows = Array.from(positions ?? [], (position, r) => {
            return kv.batch.rowStarts[sequenceOf(rowStarts, r)]! + position
          })
          const some = Float32Array.from(rows.flatMap((row) => [...q.subarray(row * rowValues, (row + 1) * rowValues)]))
          const [tokens, out] = [rowStarts[3]!, new Float32Array(rowStarts[3]! * rowValues)]
          const lse = new Float32Array(tokens * 2 * group)
          const fixed = { kind: 'attendPrefill' as const, arena: kv.arena, layer: 0, numHeads: 2 * group, scale: 0.125 }
          const op = { ...fixed, q: counts === null ? q : some, windowTokens, batch, out, lse }
          await runOnce(kernels, [positions === undefined ? op : { ...op, positions }], { tokens, sequences: 3 })
          return { rows, out, lse }
        }
        const whole = await attend(null)
        for (const share of [0, 0.05, 0.15, 0.5, 1]) {
          const some = await attend(contexts.map((context) => Math.ceil(context * share)))
          const rowsOf = (values: Float32Array, width: number) =>
            some.rows.flatMap((row) => [...values.subarray(row * width, (row + 1) * width)])
          assertSameBits(some.out, rowsOf(whole.out, rowValues), `share ${share}, window ${windowTokens}`)
          assertSameBits(some.lse, rowsOf(whole.lse, 2 * group), `lse, share ${share}, window ${windowTokens}`)
        }
        const one = await attend([1, 0, 0])
        assertSameBits(one.out, whole.out.subarray(one.rows[0]! * rowValues, (one.rows[0]! + 1) * rowValues), 'one row')
      }
    }
  })

  test('a decoded row does not depend on its neighbours in the batch', async () => {
    const kernels = await loaded
    const random = seededRandom(13)
    const shape = { numLayers: 1, numKvHeads: 2, headDim: 64, type: 'f16' as const, sequences: 3 }
    const contextOf = () => 1 + random.integer(isSlow ? 300 : 2000)
    const kv = await randomKv(kernels, random, { ...shape, contextOf, rowsOf: () => 1 })
    const rowValues = 6 * 64
    const q = random.normals(3 * rowValues)
    const lists = kernels.createRunLists(3, 2)
    const attend = async (sequences: readonly number[]) => {
      const rows = sequences.map((s) => q.subarray(s * rowValues, (s + 1) * rowValues))
      const out = new Float32Array(sequences.length * rowValues)
      const pages = sequences.map((s) => kv.batch.pages.subarray(kv.batch.pageStarts[s], kv.batch.pageStarts[s + 1]))
      let held = 0
      const batch = {
        rowStarts: Int32Array.from({ length: sequences.length + 1 }, (_, s) => s),
        contextTokens: Int32Array.from(sequences, (s) => kv.contextTokens[s]!),
        pageStarts: Int32Array.from([0, ...pages.map(({ length }) => (held += length))]),
        pages: Int32Array.from(pages.flatMap((list) => [...list])),
      }
      sequences.forEach((s, at) => {
        lists.set(at, runsOfSpans([{ start: 1, end: kv.contextTokens[s]! }], 2))
      })
      const fixed = { kind: 'attendRuns' as const, arena: kv.arena, layer: 0, numHeads: 6, scale: 0.125, lists }
      const joined = Float32Array.from(rows.flatMap((row) => [...row]))
      const counts = { tokens: sequences.length, sequences: sequences.length }
      await runOnce(kernels, [{ ...fixed, q: joined, batch, out }], counts)
      return out
    }
    const together = await attend([0, 1, 2])
    for (const s of [0, 1, 2]) {
      assertSameBits(await attend([s]), together.subarray(s * rowValues, (s + 1) * rowValues), `sequence ${s}`)
    }
  })

  test('a query head does not depend on whether the lists have a row for each of them', async () => {
    const kernels = await loaded
    const random = seededRandom(17)
    const [numKvHeads, tokens] = [2, isSlow ? 200 : 900]
    for (const [headDim, group, type] of [
      [64, 3, 'f16'],
      [128, 4, 'f16'],
      [80, 2, 'f16'],
      [64, 7, 'f16'],
      [64, 3, 'f32'],
    ] as const) {
      const numHeads = numKvHeads * group
      const shape = { numLayers: 1, numKvHeads, headDim, type, sequences: 3, contextOf: () => tokens, rowsOf: () => 1 }
      const kv = await randomKv(kernels, random, shape)
      const q = random.normals(3 * numHeads * headDim)
      const lists = kernels.createRunLists(3, numKvHeads, numHeads)
      const row = () => Array.from({ length: tokens }, (_, index) => index).filter(() => random.uniform() < 0.8)
      const rows = Array.from({ length: 3 }, () => Array.from({ length: numKvHeads }, row))
      const expanded = (s: number) => runsOfIndices(rows[s]!.flatMap((indices) => Array(group).fill(indices)))
      const attend = async (listOf: (s: number) => RunList) => {
        for (const s of [0, 1, 2]) lists.set(s, listOf(s))
        const [out, lse] = [new Float32Array(q.length), new Float32Array(3 * numHeads)]
        const op = {
          kind: 'attendRuns' as const,
          arena: kv.arena,
          layer: 0,
          q,
          numHeads,
          scale: 0.125,
          lists,
          out,
          lse,
        }
        await runOnce(kernels, [{ ...op, batch: kv.batch }], { tokens: 3, sequences: 3 })
        return [...out, ...lse]
      }
      const plain = await attend((s) => runsOfIndices(rows[s]!))
      assertSameBits(await attend(expanded), plain, `all a row a query head, headDim ${headDim}`)
      const mixed = await attend((s) => (s === 1 ? expanded(s) : runsOfIndices(rows[s]!)))
      assertSameBits(mixed, plain, `one a row a query head, headDim ${headDim}`)
    }
  })
})

/** As map callback: the sum of a list up to this entry. */
function sumUpTo(_: number, i: number, counts: readonly number[]): number {
  return counts.slice(0, i + 1).reduce((sum, count) => sum + count, 0)
}

function sequenceOf(rowStarts: Int32Array, row: number): number {
  return rowStarts.findIndex((start) => start > row) - 1
}

test.skipIf(isas.length === 0)('compiled kernels are there to be checked', () => {
  expect(isas).toContain('scalar')
})
