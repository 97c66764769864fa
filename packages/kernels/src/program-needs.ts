import { checkInteger, ShapeError } from '@kvasir/core'
import { checkBuffer } from './check-buffer.ts'
import type { CheckedRunLists } from './checked-run-lists.ts'
import { KernelError } from './errors.ts'
import type { Batch, Extent } from './ops.ts'
import type { PageArena } from './page-arena.ts'
import { ownResource, type Resource, type ResourceOwner } from './resource.ts'

export type RunExtent = Exclude<Extent, number>

/** Indices that a run reads, each in [0, bound). */
export interface IndexUse {
  readonly parameter: string
  readonly array: Int32Array
  readonly extent: Extent
  readonly bound: number
  readonly what: string
}

export interface BatchUse {
  readonly parameter: string
  readonly batch: Batch
  readonly arena: PageArena
}

/** Attention mass of the one sequence of a batch, in rows of `stride` values. */
export interface MassUse {
  readonly parameter: string
  readonly batch: Batch
  readonly stride: number
}

/** Where the rows of a batch stand in their sequences. */
export interface PositionUse {
  readonly parameter: string
  readonly positions: Int32Array
  readonly batch: Batch
}

/** The largest value of an extent, and the buffer that sets it. */
interface Limit {
  rows: number
  parameter: string
  rowValues: number
}

type Buffer = Float32Array | Int32Array

/** Gathers, op by op, what a program needs of its buffers and of the extents of a run. */
export class ProgramNeeds {
  readonly owner: ResourceOwner
  readonly resources = new Set<Resource>()
  readonly lists = new Set<CheckedRunLists>()
  readonly indices: IndexUse[] = []
  readonly batches: BatchUse[] = []
  readonly masses: MassUse[] = []
  readonly placed: PositionUse[] = []
  /** Every buffer with its length when the program was made. */
  readonly buffers = new Map<Buffer, number>()
  private readonly limits = new Map<RunExtent, Limit>()

  constructor(owner: ResourceOwner) {
    this.owner = owner
  }

  floats(parameter: string, array: Float32Array, rowValues: number, extent: Extent): void {
    this.buffer(parameter, array, Float32Array, rowValues, extent)
  }

  /** `extent` indices, each in [0, bound). */
  index(parameter: string, array: Int32Array, extent: Extent, bound: number, what: string): void {
    this.buffer(parameter, array, Int32Array, 1, extent)
    const same = (use: IndexUse) => use.array === array && use.extent === extent && use.bound <= bound
    if (!this.indices.some(same)) this.indices.push({ parameter, array, extent, bound, what })
  }

  batch(parameter: string, batch: Batch, arena: PageArena): void {
    this.buffer(`${parameter}.rowStarts`, batch.rowStarts, Int32Array, 1, 'sequences', 1)
    this.buffer(`${parameter}.contextTokens`, batch.contextTokens, Int32Array, 1, 'sequences')
    this.buffer(`${parameter}.pageStarts`, batch.pageStarts, Int32Array, 1, 'sequences', 1)
    this.buffer(`${parameter}.pages`, batch.pages, Int32Array, 0, 0)
    const { rowStarts, contextTokens, pageStarts, pages } = batch
    const same = ({ batch: known, arena: knownArena }: BatchUse) =>
      known.rowStarts === rowStarts &&
      known.contextTokens === contextTokens &&
      known.pageStarts === pageStarts &&
      known.pages === pages &&
      knownArena === arena
    if (!this.batches.some(same)) this.batches.push({ parameter, batch, arena })
  }

  positions(parameter: string, positions: Int32Array, batch: Batch): void {
    this.buffer(parameter, positions, Int32Array, 1, 'tokens')
    const same = (use: PositionUse) =>
      use.positions === positions &&
      use.batch.rowStarts === batch.rowStarts &&
      use.batch.contextTokens === batch.contextTokens
    if (!this.placed.some(same)) this.placed.push({ parameter, positions, batch })
  }

  resource<T extends Resource>(parameter: string, value: unknown, type: abstract new (...args: never[]) => T): T {
    const resource = ownResource(parameter, value, type, this.owner)
    this.resources.add(resource)
    return resource
  }

  /** `value` if it is an extent; else throws. */
  extent(parameter: string, value: Extent): Extent {
    if (value === 'tokens' || value === 'outputs' || value === 'sequences') return value
    return checkInteger(parameter, value, 0, 2 ** 31 - 1)
  }

  /** Throws if a buffer is too short for `rows` rows. */
  checkExtent(extent: RunExtent, rows: number): void {
    checkInteger(extent, rows, 0, 2 ** 31 - 1)
    const limit = this.limits.get(extent)
    if (limit === undefined || rows <= limit.rows) return
    throw new ShapeError({
      parameter: extent,
      expected: `at most ${limit.rows}: ${limit.parameter} holds no more rows of ${limit.rowValues}`,
      got: rows,
    })
  }

  /** Throws if a buffer has lost its memory since the program was made. */
  checkBuffers(): void {
    for (const [buffer, length] of this.buffers) {
      if (buffer.length === length) continue
      throw new KernelError({
        parameter: 'ops',
        expected: 'buffers as they were when the program was made',
        got: `a ${buffer.constructor.name} of ${length} values whose memory was transferred away`,
      })
    }
  }

  private buffer(
    parameter: string,
    array: Buffer,
    type: typeof Float32Array | typeof Int32Array,
    rowValues: number,
    extent: Extent,
    extraRows = 0,
  ): void {
    checkBuffer<Buffer>(parameter, array, type)
    checkInteger(`values of a row of ${parameter}`, rowValues, 0, 2 ** 31 - 1)
    this.buffers.set(array, array.length)
    if (typeof extent !== 'number') {
      this.lowerLimit(parameter, array, rowValues, extent, extraRows)
      return
    }
    const needed = (extent + extraRows) * rowValues
    if (array.length >= needed) return
    throw new ShapeError({ parameter, expected: `at least ${needed} values`, got: `${array.length} values` })
  }

  private lowerLimit(parameter: string, array: Buffer, rowValues: number, extent: RunExtent, extraRows: number): void {
    const rows = Math.floor(array.length / rowValues) - extraRows
    const limit = this.limits.get(extent)
    if (limit === undefined || rows < limit.rows) this.limits.set(extent, { rows, parameter, rowValues })
  }
}
