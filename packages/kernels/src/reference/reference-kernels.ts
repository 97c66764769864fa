import { checkInteger, DisposedError } from '@kvasir/core'
import { checkAdopt, checkExport } from '../check-transfer.ts'
import { checkWeights } from '../check-weights.ts'
import { checkRanking } from '../checked-hashing.ts'
import type { CodeTable, CodeTableOptions, HashPlanes, HashPlanesOptions, RankedRows, RankOptions } from '../hashing.ts'
import type {
  AdoptOptions,
  ExportOptions,
  KeptRows,
  KvArena,
  KvArenaOptions,
  Program,
  ProgramOptions,
  RunLists,
  Weight,
  WeightType,
} from '../kernels.ts'
import type { Op } from '../ops.ts'
import { type ReadRows, readPieces } from '../packed-weight.ts'
import { holding, ownResource, type ResourceOwner, ResourceRegistry } from '../resource.ts'
import type {
  ExactSelectorOptions,
  SegmentIndex,
  SegmentIndexOptions,
  SegmentSelectorOptions,
  SequenceKv,
} from '../selection.ts'
import { attentionWeights } from './attention-weights.ts'
import { decodeRows } from './formats/weight-formats.ts'
import { PlainArena } from './plain-arena.ts'
import { PlainCodeTable, PlainHashPlanes, rankRows } from './plain-hashing.ts'
import { PlainKeptRows } from './plain-kept-rows.ts'
import { PlainRunLists } from './plain-run-lists.ts'
import { PlainExactSelector, PlainSegmentIndex, PlainSegmentSelector } from './plain-selection.ts'
import { PlainWeight } from './plain-weight.ts'
import { ReferenceProgram } from './reference-program.ts'
import { adoptRows, exportRows } from './transfer.ts'

/** Every op as its formula, in TypeScript: the yardstick of the others, and what runs where nothing can be compiled. */
export class ReferenceKernels implements ResourceOwner {
  readonly backend = 'reference'
  readonly isa = 'js'
  readonly numThreads = 1
  readonly resources = new ResourceRegistry()
  /** What runs left for others, by the buffer. */
  readonly left = new WeakMap<Float32Array, Float32Array>()
  #tail: Promise<unknown> = Promise.resolve()
  #disposed = false

  gpuCounts(): null {
    return null
  }

  allocate(bytes: number): ArrayBuffer {
    return new ArrayBuffer(checkInteger('bytes', bytes, 0))
  }

  async loadWeight(type: WeightType, rows: number, cols: number, read: ReadRows): Promise<Weight> {
    this.assertAlive()
    const weight = this.resources.keep(new PlainWeight(this, type, rows, cols))
    await readPieces(weight, read, (first, _, piece) => decodeRows(type, piece, weight.values, first * cols))
    return weight
  }

  weightRow(weight: Weight, row: number): Float32Array {
    const { values, rows, cols } = ownResource('weight', weight, PlainWeight, this)
    checkInteger('row', row, 0, rows - 1)
    return values.slice(row * cols, (row + 1) * cols)
  }

  createArena(options: KvArenaOptions): KvArena {
    this.assertAlive()
    return this.resources.keep(new PlainArena(this, options))
  }

  async adoptRows(options: AdoptOptions): Promise<void> {
    this.assertAlive()
    const arena = checkAdopt(this, PlainArena, options)
    options.signal?.throwIfAborted()
    const { sourceRows, slots, turns } = options
    const own = { ...options, sourceRows: sourceRows.slice(), slots: slots.slice() }
    const ownTurns = turns === undefined ? {} : { turns: { ...turns, rowTurns: turns.rowTurns.slice() } }
    await holding([arena], () => this.enqueue(() => adoptRows(arena, { ...own, ...ownTurns })))
  }

  async exportRows(options: ExportOptions): Promise<void> {
    this.assertAlive()
    const arena = checkExport(this, PlainArena, options)
    options.signal?.throwIfAborted()
    const own = { ...options, pages: options.pages.slice() }
    await holding([arena], () => this.enqueue(() => exportRows(arena, own)))
  }

  createRunLists(maxSequences: number, numKvHeads: number, numHeads?: number): RunLists {
    this.assertAlive()
    return this.resources.keep(new PlainRunLists(this, maxSequences, numKvHeads, numHeads))
  }

  createKeptRows(numLayers: number, numKvHeads: number): KeptRows {
    this.assertAlive()
    return this.resources.keep(new PlainKeptRows(this, numLayers, numKvHeads))
  }

  attentionWeights(
    kv: SequenceKv,
    layer: number,
    kvHead: number,
    queries: Float32Array,
    indices: Int32Array,
    scale: number,
  ): Float32Array {
    this.assertAlive()
    const arena = checkWeights(this, PlainArena, kv, layer, kvHead, queries, indices, scale)
    return attentionWeights(arena, kv.pages, layer, kvHead, queries, indices, scale)
  }

  createProgram(ops: readonly Op[], options?: ProgramOptions): Program {
    this.assertAlive()
    return this.resources.keep(new ReferenceProgram(this, ops, options))
  }

  createSegmentIndex(options: SegmentIndexOptions): SegmentIndex {
    this.assertAlive()
    return this.resources.keep(new PlainSegmentIndex(this, options))
  }

  createSegmentSelector(options: SegmentSelectorOptions): PlainSegmentSelector {
    this.assertAlive()
    return this.resources.keep(new PlainSegmentSelector(this, options))
  }

  createExactSelector(options: ExactSelectorOptions): PlainExactSelector {
    this.assertAlive()
    return this.resources.keep(new PlainExactSelector(this, options))
  }

  createHashPlanes(options: HashPlanesOptions): HashPlanes {
    this.assertAlive()
    return this.resources.keep(new PlainHashPlanes(this, options))
  }

  createCodeTable(options: CodeTableOptions): CodeTable {
    this.assertAlive()
    return this.resources.keep(new PlainCodeTable(this, options))
  }

  async rankRows(options: RankOptions): Promise<RankedRows> {
    this.assertAlive()
    return rankRows(this, checkRanking(options))
  }

  /** Does `job` once all earlier ones have ended. */
  enqueue<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(job)
    this.#tail = done.catch(() => {})
    return done
  }

  async dispose(): Promise<void> {
    this.#disposed = true
    await this.#tail
    this.resources.disposeAll()
  }

  private assertAlive(): void {
    if (!this.#disposed) return
    throw new DisposedError({ parameter: 'kernels', expected: 'Kernels that are not disposed', got: 'disposed ones' })
  }
}
