import { indicesOfRow, type LayerReport, type ReusePlan, type RowSet } from '@kvasir/core'
import {
  assertClose,
  memoryDonors,
  policySuite,
  seededRandom,
  toyEngine,
  toyTokens,
  watchPolicy,
} from '@kvasir/core/testing'
import { loadKernels } from '@kvasir/kernels'
import { describe, expect, test } from 'vitest'
import { donorLibrary } from '../library/donor-library.ts'
import { semShareKv } from '../semshare-kv.ts'
import { proseOf, scope, toyWorld } from '../testing/world.ts'
import { chooseRows, countNext, hotRows } from './choose-rows.ts'
import { nearestByCodes, nearestRows, turnByIndex } from './match-rows.ts'
import { type PaperOptions, resolvePaper } from './options.ts'
import { keepByAttention, retainedShare } from './retention.ts'
import { meanNearestDistance, similarityOf, TokenCodes } from './similarity.ts'

const random = seededRandom(11)
const library = await donorLibrary({ store: memoryDonors() })
const rule = resolvePaper({ mode: 'paper', donors: library })

describe('matching', () => {
  test('vectors turn by their index, each pair by its own angle, and keep their length', () => {
    const [dim, theta] = [8, 100]
    const x = random.normals(5 * dim)
    const turned = x.slice()
    turnByIndex(turned, dim, theta)
    for (let row = 0; row < 5; row++) {
      for (let k = 0; k < 4; k++) {
        const angle = row * theta ** ((-2 * k) / dim)
        const [a, b] = [x[row * dim + k], x[row * dim + k + 4]]
        assertClose(
          turned.slice(row * dim + k, row * dim + k + 1),
          Float32Array.of(a * Math.cos(angle) - b * Math.sin(angle)),
          { absolute: 1e-5 },
        )
        expect(Math.hypot(turned[row * dim + k], turned[row * dim + k + 4])).toBeCloseTo(Math.hypot(a, b), 5)
      }
    }
  })

  test('the nearest row is that of the largest cosine, whatever the lengths, the first of equal ones', () => {
    const rows = Float32Array.of(1, 0, 0, 5, 0, 1, 3, 3)
    expect([...nearestRows(Float32Array.of(2, 0.1, 0.1, 9, 1, 0.9), rows, 2)]).toEqual([0, 1, 3])
  })

  test('by codes nearly all rows are matched as they are exactly', async () => {
    const kernels = await loadKernels({ backend: 'reference' })
    const dim = 64
    const rows = random.normals(80 * dim)
    const queries = Float32Array.from(rows, (value) => value + random.normal() * 0.3)
    const exactly = nearestRows(queries, rows, dim)
    const byCodes = await nearestByCodes(kernels, scope, 1)(queries, rows, dim)
    expect(await nearestByCodes(kernels, scope, 1)(queries, rows, dim)).toEqual(byCodes)
    expect(exactly.filter((row, at) => row === byCodes[at]).length).toBeGreaterThanOrEqual(78)
    await kernels.dispose()
  })

  test('turned vectors prefer the occurrence at the same place, plain ones the first', () => {
    const dim = 64
    const word = random.normals(dim)
    const others = random.normals(4 * dim)
    const donor = new Float32Array(6 * dim)
    for (const [at, row] of [word, others.subarray(0, dim), others.subarray(dim, 2 * dim), word, word].entries()) {
      donor.set(row, at * dim)
    }
    const target = donor.slice()
    expect(nearestRows(target, donor, dim)[3]).toBe(0)
    turnByIndex(target, dim, 10_000)
    turnByIndex(donor, dim, 10_000)
    expect([...nearestRows(target, donor, dim)].slice(0, 5)).toEqual([0, 1, 2, 3, 4])
  })
})

describe('similarity', () => {
  const dim = 32
  const table = random.normals(40 * dim)
  const embeddings = (ids: Int32Array) => {
    const rows = new Float32Array(ids.length * dim)
    ids.forEach((id, at) => {
      rows.set(table.subarray(id * dim, (id + 1) * dim), at * dim)
    })
    return rows
  }

  test('is 1 for the same words in any order, and falls with each that is missing', () => {
    const codes = new TokenCodes(64, 1)
    const distance = (target: number[], donor: number[]) =>
      meanNearestDistance(Int32Array.from(target), Int32Array.from(donor), codes, embeddings)
    expect(distance([1, 2, 3, 3], [3, 1, 2])).toBe(0)
    const one = distance([1, 2, 3, 30], [3, 1, 2])
    expect(one).toBeGreaterThan(0)
    expect(distance([1, 2, 30, 30], [3, 1, 2])).toBeCloseTo(2 * one, 6)
    expect([0, 15, 30, 99].map((at) => similarityOf(at, 0, 30))).toEqual([1, 0.5, 0, 0])
  })

  test('codes differ in a share of bits that is the angle over pi', () => {
    const codes = new TokenCodes(4096, 3)
    const two = (ids: Int32Array) =>
      Float32Array.from([...ids].flatMap((id) => (id === 0 ? [1, 0, 0, 0] : [Math.SQRT1_2, Math.SQRT1_2, 0, 0])))
    const [a, b] = [...codes.of([0], two), ...codes.of([1], two)]
    const differing = a.reduce(
      (sum, word, at) => sum + ((word ^ b[at]) >>> 0).toString(2).replaceAll('0', '').length,
      0,
    )
    // With entries of 1 and -1 in two dimensions the angle of 45 degrees is a quarter or a half of the planes.
    expect(differing / 4096).toBeGreaterThan(0.15)
    expect(differing / 4096).toBeLessThan(0.55)
    expect(codes.of([0], two)[0]).toBe(a)
  })
})

describe('the rows of a layer', () => {
  const report = (distances: number[], attention?: number[]): LayerReport => ({
    layer: 0,
    rows: { rows: Int32Array.from(distances.keys()) },
    distances: Float32Array.from(distances),
    deviations: Float32Array.from(distances),
    ...(attention && { attention: Float32Array.from(attention) }),
  })

  test('are 40 % at the second layer, and fall by a tenth a layer to the floor', () => {
    expect([0, 1, 2, 40].map((layer) => countNext(layer, 1000, rule))).toEqual([400, 360, 324, 20])
  })

  test('are those that deviate most, and the last', () => {
    const { rows } = chooseRows(report([5, 1, 4, 3, 2, 0]), 3, rule)
    expect([...rows]).toEqual([0, 2, 5])
  })

  test('hot rows weigh more', () => {
    const { rows } = chooseRows(report([5, 4, 3, 0, 0, 0], [0, 0, 0.9, 0, 0, 0]), 2, rule)
    expect([...rows]).toEqual([2, 5])
  })

  test('the hot rows are the fewest that receive the share of attention', () => {
    const attention = Float32Array.of(0.3, 0.05, 0.3, 0.25, 0.1)
    expect([...hotRows(attention, 0.55)].sort()).toEqual([0, 2])
    expect(hotRows(attention, 0.61).size).toBe(3)
    expect(hotRows(attention, 1).size).toBe(5)
    expect(hotRows(undefined, 0.5).size).toBe(0)
  })

  test('that received most attention are kept, fewer in deeper layers, the last always', () => {
    const { shape } = toyEngine().profile
    const attention = [Float32Array.of(0.4, 0.1, 0.3, 0.2, 0)]
    const lists = keepByAttention(attention, (layer) => retainedShare(layer, 0.3, 0.6, 0.5), shape)
    expect(lists.map((list) => [0, 1].map((kvHead) => [...indicesOfRow(list, kvHead)]))).toEqual([
      [
        [0, 2, 4],
        [0, 2, 4],
      ],
      [
        [0, 4],
        [0, 4],
      ],
    ])
    expect(retainedShare(0, 0.9, 0.8, 0.98)).toBe(0.9)
  })
})

describe('on an engine', () => {
  const easy = { minPromptTokens: 8 } as const
  const text = proseOf(1, 300)
  const changed = text.replace(/river/g, 'brook')

  async function read(prompt: string, options: Partial<PaperOptions> = {}) {
    const { engine, library: donors } = await toyWorld()
    const own = semShareKv({ mode: 'paper', donors, ...easy, ...options })
    await engine.generate(text, { policy: own, scope, maxTokens: 0 })
    const plans: unknown[] = []
    const sets: Int32Array[] = []
    const keeps: unknown[] = []
    const policy = watchPolicy(own, {
      after(hook, [report], answer) {
        if (hook === 'reuse') plans.push(answer)
        if (hook === 'retain') keeps.push(answer)
        if (hook === 'recompute') sets.push((report as LayerReport).rows.rows, (answer as RowSet).rows)
      },
    })
    const sequence = engine.createSequence({ policy, scope, onQuarantine: ({ error }) => expect.fail(String(error)) })
    await sequence.prefill(toyTokens(prompt))
    const plan = (await plans[0]) as ReusePlan | { kind: 'decline'; reason: string }
    return { plan, sets, sequence, library: donors, keep: await keeps[0] }
  }

  test('a similar prompt takes a row of the donor for each token, keys as stored', async () => {
    const { plan, sets, sequence, library: donors } = await read(changed)
    expect(plan).toMatchObject({ kind: 'reuse', keys: 'stored', provenance: { kind: 'approximate' } })
    const { pieces, recompute } = plan as ReusePlan
    expect(pieces.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(changed.length)
    expect(recompute.rows).toHaveLength(changed.length)
    const [first, second] = sets
    expect(second).toHaveLength(Math.round(0.4 * changed.length))
    expect([...second].every((row) => first.includes(row))).toBe(true)
    expect(second.at(-1)).toBe(changed.length - 1)
    await sequence.publish()
    expect(donors.size).toBe(1)
  })

  test('one that is not similar enough is computed', async () => {
    const { plan } = await read('0123456789 '.repeat(20))
    expect(plan).toMatchObject({ kind: 'decline', reason: expect.stringMatching(/similarity 0\.\d\d, of 0.8 wanted/) })
  })

  test('rows are dropped only with retention', async () => {
    expect((await read(changed)).keep).toBeUndefined()
    // The toy engine reports no attention of a partial prefill, so nothing is known to drop by.
    expect((await read(changed, { retention: true })).keep).toEqual({})
  })
})

describe('the suite of policies', () => {
  policySuite(() => semShareKv({ mode: 'paper', donors: library, retention: true }), { describe, test })
})

test.each([
  [{ fidelity: 'fast' }, /of mode paper\.fidelity: expected one of/],
  [{ codeBits: 60 }, /codeBits: expected a multiple of 32/],
  [{ maxDistance: 0 }, /maxDistance/],
  [{ keys: 'turned' }, /keys: expected one of stored, moved/],
])('misuse: %o', (options, message) => {
  expect(() => semShareKv({ mode: 'paper', donors: library, ...options } as never)).toThrow(message)
})

test('an unknown mode, naming those there are', () => {
  expect(() => semShareKv({ mode: 'papr', donors: library } as never)).toThrow(/kvasir, paper/)
})
