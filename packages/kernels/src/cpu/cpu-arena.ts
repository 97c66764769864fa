import type { KvArenaOptions } from '../kernels.ts'
import { PageArena } from '../page-arena.ts'
import type { TierCounts, TierNote } from '../tier-options.ts'
import type { Handle } from './binding.ts'
import type { CpuKernels } from './cpu-kernels.ts'

/** KV pages in native memory. */
export class CpuArena extends PageArena {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, options: KvArenaOptions) {
    super(owner, options)
    const { numLayers, numKvHeads, headDim, capacityPages, type, tier } = this
    const { binding, jobs } = owner
    this.handle =
      tier === null
        ? binding.createArena(jobs.runtime, numLayers, numKvHeads, headDim, capacityPages, type)
        : binding.createTieredArena(jobs.runtime, numLayers, numKvHeads, headDim, capacityPages, tier)
  }

  get notes(): readonly TierNote[] {
    this.assertAlive('arena')
    const reason = this.tier === null ? '' : this.owner.binding.tierState(this.handle).note
    return reason === '' ? [] : [{ kind: 'direct-refused', reason }]
  }

  protected tierCounts(): TierCounts {
    return this.owner.binding.tierState(this.handle).counts
  }

  protected copy(from: number, to: number): void {
    this.owner.binding.copyPage(this.handle, from, to)
  }

  protected read(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array {
    return this.owner.binding.readArenaRows(this.handle, part === 'values', layer, kvHead, pages, start, end)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}
