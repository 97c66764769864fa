import { bases, KernelSegmentIndex } from '../kernel-segment-index.ts'
import {
  certifyKinds,
  KernelSelector,
  queryKinds,
  resolveExactOptions,
  resolveSegmentOptions,
} from '../kernel-selector.ts'
import type { PageArena } from '../page-arena.ts'
import { ownResource } from '../resource.ts'
import type {
  ExactSelectorOptions,
  SegmentIndexContents,
  SegmentIndexOptions,
  SegmentSelectorOptions,
} from '../selection.ts'
import type { SelectorCounts } from '../selector-counts.ts'
import type { Handle, NativeBinding } from './binding.ts'
import type { CpuArena } from './cpu-arena.ts'
import type { CpuKernels } from './cpu-kernels.ts'

export class CpuSegmentIndex extends KernelSegmentIndex {
  declare readonly owner: CpuKernels
  readonly handle: Handle
  // As the last extension left it: while one is under way, the native object must not be read.
  #state: ReturnType<NativeBinding['segmentIndexState']>
  #extensions = 0

  constructor(owner: CpuKernels, options: SegmentIndexOptions, handle?: Handle) {
    super(owner, options)
    const { numLayers, numKvHeads, headDim, codeBits, vectorBits, basis } = this
    const create = owner.binding.createSegmentIndex
    this.handle = handle ?? create(numLayers, numKvHeads, headDim, codeBits, vectorBits, bases.indexOf(basis))
    this.#state = owner.binding.segmentIndexState(this.handle)
  }

  get numSegments(): number {
    return this.#state.numSegments
  }

  get numTokens(): number {
    return this.#state.numTokens
  }

  get bytes(): number {
    return this.#state.bytes
  }

  protected async add(arena: PageArena, pages: Int32Array, ends: Int32Array): Promise<void> {
    const { binding, jobs } = this.owner
    const arenaHandle = (arena as CpuArena).handle
    this.#extensions++
    try {
      await jobs.run((job) => binding.extendSegmentIndex(jobs.runtime, job, this.handle, arenaHandle, pages, ends))
    } finally {
      this.#extensions--
      if (this.#extensions === 0) this.#state = binding.segmentIndexState(this.handle)
    }
  }

  protected cut(numTokens: number): void {
    this.owner.binding.truncateSegmentIndex(this.handle, numTokens)
    this.#state = this.owner.binding.segmentIndexState(this.handle)
  }

  protected copy(): CpuSegmentIndex {
    return new CpuSegmentIndex(this.owner, this.shape, this.owner.binding.cloneSegmentIndex(this.handle))
  }

  protected contents(layer: number, kvHead: number): SegmentIndexContents {
    return this.owner.binding.readSegmentIndex(this.handle, layer, kvHead)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}

export abstract class CpuSelector extends KernelSelector {
  declare readonly owner: CpuKernels
  abstract readonly handle: Handle

  counts(): SelectorCounts {
    this.assertAlive('selector')
    return this.owner.binding.selectorCounts(this.handle)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}

export class CpuSegmentSelector extends CpuSelector {
  readonly kind = 'segment-codes'
  readonly handle: Handle

  constructor(owner: CpuKernels, options: SegmentSelectorOptions) {
    const rule = resolveSegmentOptions(options)
    const index = ownResource('index', options.index, CpuSegmentIndex, owner)
    super(owner, index)
    const other = options.continues && ownResource('continues', options.continues, CpuSegmentSelector, owner)
    other?.assertQuiet()
    this.handle = owner.binding.createSegmentSelector(
      index.handle,
      rule.budgetTokens,
      rule.sinkTokens,
      rule.recentTokens,
      rule.jointHeads,
      rule.poolFactor,
      rule.prefilterFactor,
      queryKinds.indexOf(rule.query),
      rule.emaDecay,
      rule.rerankSteps,
      rule.driftLimit,
      certifyKinds.indexOf(rule.certify),
      other?.handle ?? null,
    )
  }
}

export class CpuExactSelector extends CpuSelector {
  readonly kind = 'exact-scores'
  readonly handle: Handle

  constructor(owner: CpuKernels, options: ExactSelectorOptions) {
    const { budgetTokens, sinkTokens, recentTokens, jointHeads } = resolveExactOptions(options)
    super(owner)
    this.handle = owner.binding.createExactSelector(budgetTokens, sinkTokens, recentTokens, jointHeads)
  }
}
