import type { EmbedRowsOp } from '../ops.ts'
import type { PlainWeight } from './plain-weight.ts'
import type { ReferenceOp } from './reference-op.ts'

export const embedRows: ReferenceOp<EmbedRowsOp> = ({ table, ids, out }, start, end, run) => {
  const { values, cols } = table as PlainWeight
  for (let r = start; r < end; r++) {
    const id = run.copyOf(ids)[r] as number
    out.set(values.subarray(id * cols, (id + 1) * cols), r * cols)
  }
}
