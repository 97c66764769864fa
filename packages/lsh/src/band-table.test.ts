import { OptionError, ScopeError, ShapeError } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { type Kernels, loadKernels } from '@kvasir/kernels'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { equalBits, plantedPairs, scope, secret } from '../test-fixtures/planted-pairs.ts'
import { createBandTable } from './band-table.ts'
import { createHasher } from './hasher.ts'

let kernels: Kernels
beforeAll(async () => {
  kernels = await loadKernels({ numThreads: 1 })
})
afterAll(() => kernels.dispose())

const table = (options: object = {}) => createBandTable({ secret, scope, codeBytes: 8, ...options })
const bitsApart = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((sum, byte, i) => sum + [...(byte ^ b[i]!).toString(2)].filter((bit) => bit === '1').length, 0)

const [dim, perRotation, rotations] = [128, 250, 16]

/** Share of 4,000 pairs whose second code is found by its first. */
async function recall(cosine: number, bandBits: number, numBands: number, probes = 0, useMargins = false) {
  let found = 0
  for (let rotation = 0; rotation < rotations; rotation++) {
    const { left, right } = plantedPairs(1000 * cosine + rotation, perRotation, dim, cosine)
    const hasher = createHasher({ kernels, secret, scope, dim, rotation })
    const { codeBytes, numHashes } = hasher
    const [codes, asked, products] = [await hasher.codes(left), await hasher.codes(right), await hasher.products(right)]
    const bands = table({ codeBytes, bandBits, numBands, rotation, maxListed: perRotation })
    const rowOf = <T extends Uint8Array | Float32Array>(rows: T, i: number, size: number) =>
      rows.subarray(i * size, (i + 1) * size) as T
    for (let i = 0; i < perRotation; i++) expect(bands.insert(rowOf(codes, i, codeBytes))).toBe(i)
    for (let i = 0; i < perRotation; i++) {
      const margins = useMargins ? { margins: rowOf(products, i, numHashes) } : {}
      const matches = bands.query(rowOf(asked, i, codeBytes), { limit: perRotation, probes, ...margins })
      if (matches.some(({ slot }) => slot === i)) found++
    }
    hasher.dispose()
  }
  return found / (perRotation * rotations)
}

test.each([
  { cosine: 0.99, bandBits: 16, numBands: 16 },
  { cosine: 0.95, bandBits: 16, numBands: 16 },
  { cosine: 0.9, bandBits: 16, numBands: 16 },
  { cosine: 0.9, bandBits: 32, numBands: 8 },
  { cosine: 0.8, bandBits: 16, numBands: 16 },
  { cosine: 0.7, bandBits: 8, numBands: 12 },
])(
  'at cosine $cosine, $numBands bands of $bandBits bits find as many as the formula says',
  async ({ cosine, bandBits, numBands }) => {
    const measured = await recall(cosine, bandBits, numBands)
    const expected = 1 - (1 - equalBits(cosine) ** bandBits) ** numBands
    const n = perRotation * rotations
    expect(Math.abs(measured - expected)).toBeLessThan(3 * Math.sqrt((expected * (1 - expected)) / n) + 1 / n)
  },
)

test('other readings of bands find more, and most where margins say which', async () => {
  const [plain, blind, guided] = [
    await recall(0.8, 16, 8),
    await recall(0.8, 16, 8, 64),
    await recall(0.8, 16, 8, 64, true),
  ]
  expect(blind).toBeGreaterThan(plain + 0.05)
  expect(guided).toBeGreaterThan(blind + 0.05)
})

test('a table finds exactly the codes that share a band, whatever was inserted and removed', () => {
  const code = fc.uint8Array({ minLength: 8, maxLength: 8, max: 3 })
  fc.assert(
    fc.property(
      fc.array(fc.oneof(code, fc.nat(40)), { maxLength: 60 }),
      code,
      fc.constantFrom(4, 8, 12),
      (steps, query, bandBits) => {
        const bands = table({ bandBits, maxListed: 100 })
        const held = new Map<number, { code: Uint8Array; order: number }>()
        steps.forEach((step, order) => {
          if (typeof step === 'number') expect(bands.remove(step)).toBe(held.delete(step))
          else held.set(bands.insert(step), { code: step, order })
        })
        expect(bands.size).toBe(held.size)
        const bits = (of: Uint8Array, band: number) =>
          [...of]
            .map((byte) => [...byte.toString(2).padStart(8, '0')].reverse().join(''))
            .join('')
            .slice(band * bandBits, (band + 1) * bandBits)
        const sharing = [...held].filter(([, { code }]) =>
          Array.from({ length: bands.numBands }, (_, band) => band).some(
            (band) => bits(code, band) === bits(query, band),
          ),
        )
        const wanted = sharing
          .map(([slot, { code, order }]) => ({ slot, distance: bitsApart(code, query), order }))
          .sort((a, b) => a.distance - b.distance || a.order - b.order)
          .map(({ slot, distance }) => ({ slot, distance }))
        expect(bands.query(query, { limit: 100 })).toEqual(wanted)
      },
    ),
  )
})

test('100,000 entries under one reading slow no lookup', () => {
  const random = seededRandom(8)
  const [codeBytes, codes, lookups] = [32, 20_000, 4000]
  const draw = () => Uint8Array.from({ length: codeBytes }, () => random.integer(256))
  const flooded = draw()
  const [normal, crowded] = [table({ codeBytes }), table({ codeBytes })]
  const kept = Array.from({ length: codes }, draw)
  for (const code of kept) {
    normal.insert(code)
    crowded.insert(code)
  }
  for (let i = 0; i < 100_000; i++) crowded.insert(flooded)
  expect(crowded.query(flooded, { limit: 1000 })).toHaveLength(32)
  // A query that meets the flood in one band and itself in the others, and one that meets itself alone.
  const meets = (code: Uint8Array) => Uint8Array.from(code, (byte, i) => (i < 2 ? flooded[i]! : byte))
  const ask = (bands: ReturnType<typeof table>, code: Uint8Array) => {
    const start = performance.now()
    const [best] = bands.query(code)
    const ms = performance.now() - start
    return { best, ms }
  }
  const [quiet, busy]: [number[], number[]] = [[], []]
  for (let i = 0; i < 2 * lookups; i++) {
    const at = i % codes
    const [a, b] = [ask(normal, kept[at]!), ask(crowded, meets(kept[at]!))]
    expect([a.best?.slot, b.best?.slot]).toEqual([at, at])
    if (i < lookups) continue
    quiet.push(a.ms)
    busy.push(b.ms)
  }
  const p99 = (times: number[]) => times.sort((a, b) => a - b)[Math.floor(0.99 * times.length)]!
  const [slow, usual] = [p99(busy), p99(quiet)]
  expect(slow, `p99 ${slow} ms, ${usual} ms without the flood`).toBeLessThanOrEqual(2 * usual)
})

test('a full list gives up its oldest code, and a query looks at no more than it may', () => {
  const bands = table({ bandBits: 16, numBands: 1, maxListed: 4 })
  for (let i = 0; i < 10; i++) bands.insert(Uint8Array.of(1, 1, i, 0, 0, 0, 0, 0))
  const query = Uint8Array.of(1, 1, 9, 0, 0, 0, 0, 0)
  expect(
    bands
      .query(query)
      .map(({ slot }) => slot)
      .sort(),
  ).toEqual([6, 7, 8, 9])
  expect(bands.query(query, { maxCandidates: 2 })).toHaveLength(2)
  expect(bands.query(query, { limit: 1 })).toEqual([{ slot: 9, distance: 0 }])
})

test('numbers are given again, and a removed code is not found', () => {
  const bands = table()
  const [a, b] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(200)]
  expect([bands.insert(a), bands.insert(a)]).toEqual([0, 1])
  expect([bands.remove(0), bands.remove(0), bands.remove(-1), bands.remove(7), bands.remove(0.5)]).toEqual([
    true,
    ...new Array(4).fill(false),
  ])
  expect(bands.insert(b)).toBe(0)
  expect(bands.query(a)).toEqual([{ slot: 1, distance: 0 }])
})

test('misuse is refused by name', () => {
  expect(() => table({ codeBytes: 6 })).toThrow(ShapeError)
  expect(() => table({ bandBits: 65 })).toThrow(OptionError)
  expect(() => table({ numBands: 5 })).toThrow(/numBands: expected an integer in \[1, 4\]/)
  expect(() => table({ scope: { ...scope, group: ' ' } })).toThrow(ScopeError)
  const bands = table()
  expect(() => bands.insert(new Uint8Array(7))).toThrow(ShapeError)
  expect(() => bands.query(new Uint8Array(8), { margins: new Float32Array(3) })).toThrow(/margins: expected 64 values/)
  expect(() => bands.query(new Uint8Array(8), { probe: 3 } as never)).toThrow('Did you mean probes?')
})
