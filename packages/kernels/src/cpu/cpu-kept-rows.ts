import type { RunList } from '@kvasir/core'
import { CheckedKeptRows } from '../checked-kept-rows.ts'
import type { Handle } from './binding.ts'
import type { CpuKernels } from './cpu-kernels.ts'

/** Bitmaps in native memory. */
export class CpuKeptRows extends CheckedKeptRows {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, numLayers: number, numKvHeads: number, handle?: Handle) {
    super(owner, numLayers, numKvHeads)
    this.handle = handle ?? owner.binding.createKeptRows(numLayers, numKvHeads)
  }

  protected drop(layer: number, { rowStarts, runs }: RunList, endTokens: number): void {
    this.owner.binding.setKeptRows(this.handle, layer, rowStarts, runs, endTokens)
  }

  protected count(layer: number): number {
    return this.owner.binding.heldTokens(this.handle, layer)
  }

  protected copy(): CpuKeptRows {
    return new CpuKeptRows(this.owner, this.numLayers, this.numKvHeads, this.owner.binding.cloneKeptRows(this.handle))
  }

  protected cut(numTokens: number): void {
    this.owner.binding.truncateKeptRows(this.handle, numTokens)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}
