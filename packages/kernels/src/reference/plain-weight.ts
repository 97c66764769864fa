import type { WeightType } from '../kernels.ts'
import { PackedWeight } from '../packed-weight.ts'
import type { ResourceOwner } from '../resource.ts'

/** A weight as plain float32, decoded when it was loaded. */
export class PlainWeight extends PackedWeight {
  /** [rows][cols] */
  values: Float32Array
  readonly bytes: number

  constructor(owner: ResourceOwner, type: WeightType, rows: number, cols: number) {
    super(owner, type, rows, cols)
    this.values = new Float32Array(rows * cols)
    this.bytes = this.values.byteLength
  }

  protected free(): void {
    this.values = new Float32Array()
  }
}
