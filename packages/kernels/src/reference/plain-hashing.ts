import { CheckedCodeTable, CheckedHashPlanes, type Ranking } from '../checked-hashing.ts'
import type { CodeTableOptions, HashPlanesOptions, NearestCodes, RankedRows } from '../hashing.ts'
import { inSlices } from './in-slices.ts'
import type { ReferenceKernels } from './reference-kernels.ts'

/** Planes as they came, products in float64. */
export class PlainHashPlanes extends CheckedHashPlanes {
  declare readonly owner: ReferenceKernels
  readonly #planes: Float32Array
  readonly #offsets: Float32Array | null
  readonly #width: number

  constructor(owner: ReferenceKernels, options: HashPlanesOptions) {
    super(owner, options)
    this.#planes = options.planes.slice()
    this.#offsets = options.offsets?.slice() ?? null
    this.#width = Math.fround(options.width ?? 1)
  }

  protected hash(x: Float32Array, products: boolean, out: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { numHashes, dim } = this
    const floats = products ? new Float32Array(out.buffer) : null
    return this.owner.enqueue(() =>
      inSlices(x.length / dim, signal, (row) => {
        for (let h = 0; h < numHashes; h++) {
          let sum = 0
          for (let i = 0; i < dim; i++) sum += (x[row * dim + i] as number) * (this.#planes[h * dim + i] as number)
          if (floats !== null) floats[row * numHashes + h] = sum
          else if (this.#offsets !== null) out[row * numHashes + h] = this.cellOf(sum, h)
          else if (Math.fround(sum) >= 0) out[(row * numHashes + h) >> 3]! |= 1 << (h & 7)
        }
      }),
    )
  }

  protected free(): void {}

  private cellOf(product: number, h: number): number {
    const cell = 128 + Math.floor((Math.fround(product) + (this.#offsets?.[h] as number)) / this.#width)
    return Number.isNaN(cell) ? 0 : Math.min(255, Math.max(0, cell))
  }
}

/** Codes as they came, compared byte by byte. */
export class PlainCodeTable extends CheckedCodeTable {
  declare readonly owner: ReferenceKernels
  readonly #codes: Uint8Array

  constructor(owner: ReferenceKernels, options: CodeTableOptions) {
    super(owner, options)
    this.#codes = options.codes.slice()
  }

  protected search(
    queries: Uint8Array,
    count: number,
    maxDistance: number,
    found: NearestCodes,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.owner.enqueue(() =>
      inSlices(queries.length / this.codeBytes, signal, (query) => {
        const all = Array.from({ length: this.numRows }, (_, row) => ({
          row,
          distance: this.apart(queries, query, row),
        }))
        const near = all.filter(({ distance }) => distance <= maxDistance)
        near.sort((a, b) => a.distance - b.distance || a.row - b.row)
        for (let i = 0; i < count; i++) {
          found.indices[query * count + i] = near[i]?.row ?? -1
          found.distances[query * count + i] = near[i]?.distance ?? -1
        }
      }),
    )
  }

  protected free(): void {}

  private apart(queries: Uint8Array, query: number, row: number): number {
    const { codeBytes, distance } = this
    let sum = 0
    for (let i = 0; i < codeBytes; i++) {
      const a = queries[query * codeBytes + i] as number
      const b = this.#codes[row * codeBytes + i] as number
      sum += distance === 'l1' ? Math.abs(a - b) : countBits(a ^ b)
    }
    return sum
  }
}

export async function rankRows(owner: ReferenceKernels, ranking: Ranking): Promise<RankedRows> {
  const { dim, queries, rows, threshold, found } = ranking
  const candidates = ranking.candidates.slice()
  const numQueries = queries.length / dim
  const count = candidates.length / numQueries
  const nearer = (a: number, b: number) => (ranking.metric === 'cosine' ? a > b : a < b)
  await owner.enqueue(() =>
    inSlices(numQueries, ranking.signal, (query) => {
      let best = { index: -1, value: Number.NaN }
      for (let i = query * count; i < (query + 1) * count; i++) {
        const index = candidates[i] as number
        if (index < 0) continue
        const value = Math.fround(scoreOf(ranking.metric, queries, query * dim, rows, index * dim, dim))
        if (Number.isNaN(value) || nearer(Math.fround(threshold), value)) continue
        const wins = best.index < 0 || nearer(value, best.value) || (value === best.value && index < best.index)
        if (wins) best = { index, value }
      }
      found.indices[query] = best.index
      found.values[query] = best.value
    }),
  )
  return found
}

function scoreOf(
  metric: 'cosine' | 'l2',
  a: Float32Array,
  aStart: number,
  b: Float32Array,
  bStart: number,
  dim: number,
): number {
  let [dot, aa, bb, apart] = [0, 0, 0, 0]
  for (let i = 0; i < dim; i++) {
    const x = a[aStart + i] as number
    const y = b[bStart + i] as number
    dot += x * y
    aa += x * x
    bb += y * y
    apart += (x - y) ** 2
  }
  if (metric === 'l2') return apart
  return aa * bb === 0 ? 0 : dot / Math.sqrt(aa * bb)
}

function countBits(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}
