import type { RunList } from '@kvasir/core'
import { CheckedRunLists } from '../checked-run-lists.ts'
import type { Handle } from './binding.ts'
import type { CpuKernels } from './cpu-kernels.ts'

/** Run lists in native memory, where selectors write and attention reads them. */
export class CpuRunLists extends CheckedRunLists {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, maxSequences: number, numKvHeads: number, numHeads?: number) {
    super(owner, maxSequences, numKvHeads, numHeads)
    this.handle = owner.binding.createRunLists(maxSequences, numKvHeads, this.numHeads)
  }

  protected write(sequence: number, list: RunList): void {
    this.owner.binding.setRunList(this.handle, sequence, list.rowStarts, list.runs)
  }

  protected read(sequence: number): RunList {
    return this.owner.binding.getRunList(this.handle, sequence)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}
