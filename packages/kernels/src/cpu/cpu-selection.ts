import { type IndexContents, KernelSegmentIndex } from '../kernel-segment-index.ts'
import { KernelSelector, resolveExactOptions, resolveSegmentOptions } from '../kernel-selector.ts'
import type { PageArena } from '../page-arena.ts'
import { ownResource } from '../resource.ts'
import type { ExactSelectorOptions, SegmentIndexOptions, SegmentSelectorOptions } from '../selection.ts'
import type { SelectorCounts } from '../selector-counts.ts'
import type { Handle } from './binding.ts'
import type { CpuArena } from './cpu-arena.ts'
import type { CpuKernels } from './cpu-kernels.ts'

export class CpuSegmentIndex extends KernelSegmentIndex {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, options: SegmentIndexOptions, handle?: Handle) {
    super(owner, options)
    const { numLayers, numKvHeads, headDim, codeBits } = this
    this.handle = handle ?? owner.binding.createSegmentIndex(numLayers, numKvHeads, headDim, codeBits)
  }

  get numSegments(): number {
    return this.state().numSegments
  }

  get numTokens(): number {
    return this.state().numTokens
  }

  get bytes(): number {
    return this.state().bytes
  }

  private state() {
    this.assertAlive('index')
    return this.owner.binding.segmentIndexState(this.handle)
  }

  protected add(arena: PageArena, pages: Int32Array, ends: Int32Array): Promise<void> {
    const { binding, jobs } = this.owner
    const arenaHandle = (arena as CpuArena).handle
    return jobs.run((job) => binding.extendSegmentIndex(jobs.runtime, job, this.handle, arenaHandle, pages, ends))
  }

  protected cut(numTokens: number): void {
    this.owner.binding.truncateSegmentIndex(this.handle, numTokens)
  }

  protected copy(): CpuSegmentIndex {
    const { numLayers, numKvHeads, headDim, codeBits } = this
    const handle = this.owner.binding.cloneSegmentIndex(this.handle)
    return new CpuSegmentIndex(this.owner, { numLayers, numKvHeads, headDim, codeBits }, handle)
  }

  protected contents(layer: number, kvHead: number): IndexContents {
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
    const { budgetTokens, sinkTokens, recentTokens, jointHeads, poolFactor } = rule
    const create = owner.binding.createSegmentSelector
    this.handle = create(index.handle, budgetTokens, sinkTokens, recentTokens, jointHeads, poolFactor)
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
