import { checkInteger, checkKeys, checkNumber, checkOneOf, OptionError, ShapeError } from '@kvasir/core'
import { checkBuffer, checkLength } from './check-buffer.ts'
import type {
  CodeTable,
  CodeTableOptions,
  HashPlanes,
  HashPlanesOptions,
  NearestCodes,
  NearestOptions,
  RankedRows,
  RankOptions,
} from './hashing.ts'
import { checkEach } from './page-arena.ts'
import { holding, Resource, type ResourceOwner } from './resource.ts'

const maxHashes = 4096
const maxDim = 2 ** 20
export const distances = ['hamming', 'l1'] as const
export const metrics = ['cosine', 'l2'] as const

/** What planes of all backends share: checks. */
export abstract class CheckedHashPlanes extends Resource implements HashPlanes {
  readonly numHashes: number
  readonly dim: number
  readonly codeBytes: number

  constructor(owner: ResourceOwner, options: HashPlanesOptions) {
    super(owner)
    checkKeys('createHashPlanes', options, ['planes', 'numHashes', 'dim', 'offsets', 'width'])
    this.numHashes = checkMultiple('numHashes', options.numHashes, 64)
    this.dim = checkInteger('dim', options.dim, 1, maxDim)
    const planes = checkBuffer('planes', options.planes, Float32Array)
    checkLength('planes', planes, this.numHashes * this.dim, 'values, [numHashes][dim]')
    const { offsets, width } = options
    this.codeBytes = offsets === undefined ? this.numHashes / 8 : this.numHashes
    if (offsets !== undefined) {
      checkLength('offsets', checkBuffer('offsets', offsets, Float32Array), this.numHashes, 'values, one a hash')
    } else if (width !== undefined) {
      throw new OptionError({ parameter: 'width', expected: 'offsets beside it', got: width })
    }
    if (width !== undefined) checkNumber('width', width, 1e-30, 1e30)
  }

  codes(x: Float32Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.run(x, signal, this.codeBytes, false)
  }

  async products(x: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
    return new Float32Array((await this.run(x, signal, 4 * this.numHashes, true)).buffer)
  }

  private async run(x: Float32Array, signal: AbortSignal | undefined, rowBytes: number, products: boolean) {
    this.assertAlive('planes')
    const rows = countRows('x', checkBuffer('x', x, Float32Array), this.dim)
    signal?.throwIfAborted()
    const out = new Uint8Array(rows * rowBytes)
    await holding([this], () => this.hash(x, products, out, signal))
    return out
  }

  protected abstract hash(x: Float32Array, products: boolean, out: Uint8Array, signal?: AbortSignal): Promise<void>
}

/** What tables of all backends share: checks. */
export abstract class CheckedCodeTable extends Resource implements CodeTable {
  readonly numRows: number
  readonly codeBytes: number
  readonly distance: 'hamming' | 'l1'

  constructor(owner: ResourceOwner, options: CodeTableOptions) {
    super(owner)
    checkKeys('createCodeTable', options, ['codes', 'codeBytes', 'distance'])
    this.codeBytes = checkMultiple('codeBytes', options.codeBytes, 8)
    this.distance = checkOneOf('distance', options.distance ?? 'hamming', distances)
    this.numRows = countRows('codes', checkBuffer('codes', options.codes, Uint8Array), this.codeBytes)
    checkInteger('rows of codes', this.numRows, 0, 2 ** 31 - 17)
  }

  async nearest(queries: Uint8Array, options: NearestOptions = {}): Promise<NearestCodes> {
    this.assertAlive('table')
    checkKeys('nearest', options, ['count', 'maxDistance', 'signal'])
    const numQueries = countRows('queries', checkBuffer('queries', queries, Uint8Array), this.codeBytes)
    const count = checkInteger('count', options.count ?? 1, 1, 256)
    // No distance of 4,096 bytes is larger.
    const maxDistance = checkInteger('maxDistance', options.maxDistance ?? 2 ** 30, 0, 2 ** 30)
    options.signal?.throwIfAborted()
    const found = { indices: new Int32Array(numQueries * count), distances: new Int32Array(numQueries * count) }
    await holding([this], () => this.search(queries, count, maxDistance, found, options.signal))
    return found
  }

  protected abstract search(
    queries: Uint8Array,
    count: number,
    maxDistance: number,
    found: NearestCodes,
    signal?: AbortSignal,
  ): Promise<void>
}

/** Options of rankRows, complete and checked, with room for the results. */
export interface Ranking {
  readonly metric: 'cosine' | 'l2'
  readonly dim: number
  readonly queries: Float32Array
  readonly rows: Float32Array
  readonly candidates: Int32Array
  readonly threshold: number
  readonly signal: AbortSignal | undefined
  readonly found: RankedRows
}

export function checkRanking(options: RankOptions): Ranking {
  checkKeys('rankRows', options, ['metric', 'dim', 'queries', 'rows', 'candidates', 'threshold', 'signal'])
  const metric = checkOneOf('metric', options.metric ?? 'cosine', metrics)
  const dim = checkInteger('dim', options.dim, 1, maxDim)
  const queries = checkBuffer('queries', options.queries, Float32Array)
  const rows = checkBuffer('rows', options.rows, Float32Array)
  const numQueries = countRows('queries', queries, dim)
  const numRows = countRows('rows', rows, dim)
  const candidates = checkBuffer('candidates', options.candidates, Int32Array)
  if (numQueries === 0 ? candidates.length > 0 : candidates.length % numQueries !== 0) {
    throw new ShapeError({
      parameter: 'candidates',
      expected: `as many for each of ${numQueries} queries`,
      got: candidates.length,
    })
  }
  checkEach('candidates', candidates, candidates.length, numRows, 'a row, or negative', -(2 ** 31))
  const { threshold = metric === 'cosine' ? -Infinity : Infinity, signal } = options
  if (typeof threshold !== 'number' || Number.isNaN(threshold)) {
    throw new OptionError({ parameter: 'threshold', expected: 'a number', got: threshold })
  }
  signal?.throwIfAborted()
  const found = { indices: new Int32Array(numQueries), values: new Float32Array(numQueries) }
  return { metric, dim, queries, rows, candidates, threshold, signal, found }
}

function checkMultiple(parameter: string, value: number, of: number): number {
  if (checkInteger(parameter, value, of, maxHashes) % of === 0) return value
  throw new ShapeError({ parameter, expected: `a multiple of ${of}`, got: value })
}

function countRows(parameter: string, { length }: { readonly length: number }, rowLength: number): number {
  if (length % rowLength === 0) return length / rowLength
  throw new ShapeError({ parameter, expected: `whole rows of ${rowLength}`, got: length })
}
