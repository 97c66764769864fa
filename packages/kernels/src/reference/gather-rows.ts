import type { GatherRowsOp } from '../ops.ts'
import type { ReferenceOp } from './reference-op.ts'

export const gatherRows: ReferenceOp<GatherRowsOp> = ({ x, ids, dim, out }, start, end, run) => {
  for (let r = start; r < end; r++) {
    const id = run.copyOf(ids)[r] as number
    out.set(x.subarray(id * dim, (id + 1) * dim), r * dim)
  }
}
