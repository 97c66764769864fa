import type { WeightType } from '../kernels.ts'
import { PackedWeight } from '../packed-weight.ts'
import type { Handle } from './binding.ts'
import type { CpuKernels } from './cpu-kernels.ts'

/** A weight in native memory, packed for the instruction set of its kernels. */
export class CpuWeight extends PackedWeight {
  declare readonly owner: CpuKernels
  readonly handle: Handle
  readonly bytes: number

  constructor(owner: CpuKernels, type: WeightType, rows: number, cols: number) {
    super(owner, type, rows, cols)
    this.handle = owner.binding.createWeight(owner.jobs.runtime, type, rows, cols)
    this.bytes = owner.binding.weightBytes(this.handle)
  }

  row(row: number): Float32Array {
    return this.owner.binding.readWeightRow(this.handle, row)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}
