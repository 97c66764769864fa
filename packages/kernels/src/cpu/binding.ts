import type { RunList } from '@kvasir/core'
import type { GpuCounts, KeyTurns } from '../kernels.ts'
import type { SegmentIndexContents } from '../selection.ts'
import type { SelectorCounts } from '../selector-counts.ts'
import type { ResolvedTierOptions, TierCounts } from '../tier-options.ts'

/** An object of the addon; each kind carries its own type tag, so that a wrong one is refused. */
export interface Handle {
  readonly native: unique symbol
}

/** What a native check refused, or what went wrong. */
export interface NativeFailure {
  readonly parameter: string
  readonly expected: string
  readonly got: string
  readonly kind: 'kernel' | 'tier' | 'backend'
}

/** What a GPU library is good for here. */
export interface GpuState {
  /** Why it cannot be used; '' if it can. */
  readonly missing: string
  /** cuda or emulated; '' if it cannot be used. */
  readonly kind: string
  /** capability: 90 for compute capability 9.0. */
  readonly devices: readonly { readonly name: string; readonly capability: number }[]
}

/** Called once for each job when it has ended: with nothing, or with what went wrong. */
export type Settle = (job: number, failure: NativeFailure | undefined) => void

/**
 * The functions of the addon, as native/node/exports.cpp lists them; a test compares the two. Arguments are checked before
 * they get here; the addon checks types and lengths once more and throws a plain Error, which no caller should see.
 * Jobs run in the order of the calls, off this thread; `job` is the caller's number for one.
 */
export interface NativeBinding {
  /** Instruction sets that this machine runs, worst first, and its physical cores. */
  machine(): { readonly isas: readonly string[]; readonly physicalCores: number }

  /** Loads the library once a process; where it or its driver is absent, says why. */
  gpuState(library: string): GpuState

  /** From here on failures are thrown as what makeError returns. Once an environment. */
  useErrors(makeError: (failure: NativeFailure) => Error): void
  /** gpuLibrary: weights, arenas and programs live on its first device; '': in host memory. */
  openRuntime(isa: string, numThreads: number, gpuLibrary: string, settle: Settle): Handle
  /** Null: not on a GPU. */
  gpuCounts(runtime: Handle): GpuCounts | null
  /** Cancels what is queued, waits for what runs, stops the threads if nobody else uses them. */
  closeRuntime(runtime: Handle): void
  /** True if the job was still queued: it is gone and will not settle. Else it settles soon. */
  cancelJob(runtime: Handle, job: number): boolean
  /** Frees the memory of a handle; nothing may use it. */
  release(handle: Handle): void
  allocate(bytes: number): ArrayBuffer

  createWeight(runtime: Handle, type: string, rows: number, cols: number): Handle
  weightBytes(weight: Handle): number
  packWeightRows(runtime: Handle, job: number, weight: Handle, first: number, count: number, rows: Uint8Array): void
  readWeightRow(weight: Handle, row: number): Float32Array

  createArena(
    runtime: Handle,
    numLayers: number,
    numKvHeads: number,
    headDim: number,
    capacityPages: number,
    type: string,
  ): Handle
  /** Rows of type f16; `tier` is complete. Throws where the file or hotBytes will not do. */
  createTieredArena(
    runtime: Handle,
    numLayers: number,
    numKvHeads: number,
    headDim: number,
    capacityPages: number,
    tier: ResolvedTierOptions,
  ): Handle
  tierState(arena: Handle): { readonly counts: TierCounts; readonly note: string }
  copyPage(arena: Handle, from: number, to: number): void
  readArenaRows(
    arena: Handle,
    values: boolean,
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array

  /** Copies sourceRows, slots and rowTurns in the call; the caller keeps source, cos and sin until the job has settled. */
  adoptRows(
    runtime: Handle,
    job: number,
    arena: Handle,
    layer: number,
    source: Uint8Array,
    sourceTokens: number,
    sourceRows: Int32Array,
    slots: Int32Array,
    turns: KeyTurns | null,
  ): void
  /** Copies pages in the call; the caller keeps out until the job has settled. */
  exportRows(
    runtime: Handle,
    job: number,
    arena: Handle,
    layer: number,
    pages: Int32Array,
    numTokens: number,
    out: Uint8Array,
  ): void

  /** On this thread. A failure says which index is no row of the pages. */
  attentionWeights(
    runtime: Handle,
    arena: Handle,
    layer: number,
    kvHead: number,
    pages: Int32Array,
    queries: Float32Array,
    indices: Int32Array,
    scale: number,
  ): Float32Array

  createRunLists(maxSequences: number, numKvHeads: number, numHeads: number): Handle
  setRunList(lists: Handle, sequence: number, rowStarts: Int32Array, runs: Int32Array): void
  getRunList(lists: Handle, sequence: number): RunList
  createKeptRows(numLayers: number, numKvHeads: number): Handle
  setKeptRows(kept: Handle, layer: number, rowStarts: Int32Array, runs: Int32Array, endTokens: number): void
  heldTokens(kept: Handle, layer: number): number
  truncateKeptRows(kept: Handle, numTokens: number): void
  cloneKeptRows(kept: Handle): Handle

  /** Ops with handles in place of weights, arenas and lists; buffers that nobody looks at after a run. */
  createProgram(runtime: Handle, ops: readonly object[], scratch: readonly Float32Array[]): Handle
  /** Copies the index arrays in the call. Selectors: null for `all`, false for `given`, a handle else. */
  runProgram(
    runtime: Handle,
    job: number,
    program: Handle,
    tokens: number,
    outputs: number,
    sequences: number,
    selectors: readonly (Handle | null | false)[],
    kept: readonly (Handle | null)[],
    leaves: readonly Float32Array[],
    takesUp: readonly Float32Array[],
  ): void

  /** basis: 0 channels, 1 principal. */
  createSegmentIndex(
    numLayers: number,
    numKvHeads: number,
    headDim: number,
    codeBits: number,
    vectorBits: number,
    basis: number,
  ): Handle
  /** Copies pages and ends in the call. */
  extendSegmentIndex(
    runtime: Handle,
    job: number,
    index: Handle,
    arena: Handle,
    pages: Int32Array,
    ends: Int32Array,
  ): void
  segmentIndexState(index: Handle): { readonly numSegments: number; readonly numTokens: number; readonly bytes: number }
  truncateSegmentIndex(index: Handle, numTokens: number): void
  cloneSegmentIndex(index: Handle): Handle
  readSegmentIndex(index: Handle, layer: number, kvHead: number): SegmentIndexContents
  /** query: 0 current, 1 mean, 2 ema; certify: 0 off, 1 report, 2 extend; continues: a segment selector whose state is copied. */
  createSegmentSelector(
    index: Handle,
    budgetTokens: number,
    sinkTokens: number,
    recentTokens: number,
    jointHeads: boolean,
    poolFactor: number,
    prefilterFactor: number,
    query: number,
    emaDecay: number,
    rerankSteps: number,
    driftLimit: number,
    certify: number,
    continues: Handle | null,
  ): Handle
  createExactSelector(budgetTokens: number, sinkTokens: number, recentTokens: number, jointHeads: boolean): Handle
  selectorCounts(selector: Handle): SelectorCounts

  /** Without offsets (length 0) codes are signs. */
  createHashPlanes(planes: Float32Array, numHashes: number, dim: number, offsets: Float32Array, width: number): Handle
  /** The caller keeps x and out until the job has settled. */
  hashRows(runtime: Handle, job: number, planes: Handle, products: boolean, x: Float32Array, out: Uint8Array): void
  /** Copies the codes. distance: 0 hamming, 1 l1. */
  createCodeTable(distance: number, codes: Uint8Array, codeBytes: number): Handle
  /** The caller keeps all arrays until the job has settled. */
  nearestCodes(
    runtime: Handle,
    job: number,
    table: Handle,
    queries: Uint8Array,
    count: number,
    maxDistance: number,
    indices: Int32Array,
    distances: Int32Array,
  ): void
  /** Copies the candidates in the call; the caller keeps the other arrays. metric: 0 cosine, 1 l2. */
  rankRows(
    runtime: Handle,
    job: number,
    metric: number,
    dim: number,
    queries: Float32Array,
    rows: Float32Array,
    candidates: Int32Array,
    threshold: number,
    indices: Int32Array,
    values: Float32Array,
  ): void
}
