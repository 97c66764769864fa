import { checkInteger, DisposedError } from '@kvasir/core'
import { checkAdopt, checkExport } from '../check-transfer.ts'
import { checkWeights } from '../check-weights.ts'
import { checkRanking } from '../checked-hashing.ts'
import type { CodeTable, CodeTableOptions, HashPlanes, HashPlanesOptions, RankedRows, RankOptions } from '../hashing.ts'
import type {
  AdoptOptions,
  ExportOptions,
  GpuCounts,
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
import type { NativeBinding } from './binding.ts'
import { CpuArena } from './cpu-arena.ts'
import { CpuCodeTable, CpuHashPlanes, rankRows } from './cpu-hashing.ts'
import { CpuKeptRows } from './cpu-kept-rows.ts'
import { CpuProgram } from './cpu-program.ts'
import { CpuRunLists } from './cpu-run-lists.ts'
import { CpuExactSelector, CpuSegmentIndex, CpuSegmentSelector } from './cpu-selection.ts'
import { CpuWeight } from './cpu-weight.ts'
import { errorOf, Jobs } from './jobs.ts'

/** Where compiled ops run. */
export interface CompiledTarget {
  readonly backend: 'cpu' | 'cuda'
  readonly isa: string
  /** Instruction set of what runs on the host beside a GPU. */
  readonly hostIsa: string
  readonly numThreads: number
  /** '': none. */
  readonly gpuLibrary: string
}

/** The compiled ops of one instruction set on threads of their own, or of a GPU. */
export class CpuKernels implements ResourceOwner {
  readonly backend: 'cpu' | 'cuda'
  readonly isa: string
  readonly numThreads: number
  readonly binding: NativeBinding
  readonly jobs: Jobs
  readonly resources = new ResourceRegistry()
  #closing: Promise<void> | undefined

  constructor(binding: NativeBinding, { backend, isa, hostIsa, numThreads, gpuLibrary }: CompiledTarget) {
    this.backend = backend
    this.isa = isa
    this.numThreads = numThreads
    this.binding = binding
    binding.useErrors(errorOf)
    this.jobs = new Jobs(binding, hostIsa, numThreads, gpuLibrary)
  }

  gpuCounts(): GpuCounts | null {
    return this.binding.gpuCounts(this.jobs.runtime)
  }

  allocate(bytes: number): ArrayBuffer {
    return this.binding.allocate(checkInteger('bytes', bytes, 0))
  }

  async loadWeight(type: WeightType, rows: number, cols: number, read: ReadRows): Promise<Weight> {
    this.assertAlive()
    const weight = this.resources.keep(new CpuWeight(this, type, rows, cols))
    const { binding, jobs } = this
    weight.hold()
    try {
      await readPieces(weight, read, (first, count, piece) => {
        weight.assertAlive('weight')
        return jobs.run((job) => binding.packWeightRows(jobs.runtime, job, weight.handle, first, count, piece))
      })
    } catch (error) {
      weight.dispose()
      throw error
    } finally {
      weight.letGo()
    }
    return weight
  }

  weightRow(weight: Weight, row: number): Float32Array {
    const own = ownResource('weight', weight, CpuWeight, this)
    return own.row(checkInteger('row', row, 0, own.rows - 1))
  }

  createArena(options: KvArenaOptions): KvArena {
    this.assertAlive()
    return this.resources.keep(new CpuArena(this, options))
  }

  async adoptRows(options: AdoptOptions): Promise<void> {
    this.assertAlive()
    const arena = checkAdopt(this, CpuArena, options)
    const { layer, source, sourceTokens, sourceRows, slots, turns = null, signal } = options
    signal?.throwIfAborted()
    const { binding, jobs } = this
    const start = (job: number) =>
      binding.adoptRows(jobs.runtime, job, arena.handle, layer, source, sourceTokens, sourceRows, slots, turns)
    await holding([arena], () => jobs.run(start, signal))
  }

  async exportRows(options: ExportOptions): Promise<void> {
    this.assertAlive()
    const arena = checkExport(this, CpuArena, options)
    const { layer, pages, numTokens, out, signal } = options
    signal?.throwIfAborted()
    const { binding, jobs } = this
    const start = (job: number) => binding.exportRows(jobs.runtime, job, arena.handle, layer, pages, numTokens, out)
    await holding([arena], () => jobs.run(start, signal))
  }

  createRunLists(maxSequences: number, numKvHeads: number, numHeads?: number): RunLists {
    this.assertAlive()
    return this.resources.keep(new CpuRunLists(this, maxSequences, numKvHeads, numHeads))
  }

  createKeptRows(numLayers: number, numKvHeads: number): KeptRows {
    this.assertAlive()
    return this.resources.keep(new CpuKeptRows(this, numLayers, numKvHeads))
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
    const arena = checkWeights(this, CpuArena, kv, layer, kvHead, queries, indices, scale)
    return this.binding.attentionWeights(
      this.jobs.runtime,
      arena.handle,
      layer,
      kvHead,
      kv.pages,
      queries,
      indices,
      scale,
    )
  }

  createProgram(ops: readonly Op[], options?: ProgramOptions): Program {
    this.assertAlive()
    return this.resources.keep(new CpuProgram(this, ops, options))
  }

  createSegmentIndex(options: SegmentIndexOptions): SegmentIndex {
    this.assertAlive()
    return this.resources.keep(new CpuSegmentIndex(this, options))
  }

  createSegmentSelector(options: SegmentSelectorOptions): CpuSegmentSelector {
    this.assertAlive()
    return this.resources.keep(new CpuSegmentSelector(this, options))
  }

  createExactSelector(options: ExactSelectorOptions): CpuExactSelector {
    this.assertAlive()
    return this.resources.keep(new CpuExactSelector(this, options))
  }

  createHashPlanes(options: HashPlanesOptions): HashPlanes {
    this.assertAlive()
    return this.resources.keep(new CpuHashPlanes(this, options))
  }

  createCodeTable(options: CodeTableOptions): CodeTable {
    this.assertAlive()
    return this.resources.keep(new CpuCodeTable(this, options))
  }

  async rankRows(options: RankOptions): Promise<RankedRows> {
    this.assertAlive()
    return rankRows(this, checkRanking(options))
  }

  dispose(): Promise<void> {
    this.#closing ??= this.close()
    return this.#closing
  }

  private async close(): Promise<void> {
    await this.jobs.idle()
    this.resources.disposeAll()
    this.binding.closeRuntime(this.jobs.runtime)
  }

  private assertAlive(): void {
    if (this.#closing === undefined) return
    throw new DisposedError({ parameter: 'kernels', expected: 'Kernels that are not disposed', got: 'disposed ones' })
  }
}
