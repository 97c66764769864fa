import { rowsOf } from '../check-run.ts'
import type { WriteKvOp } from '../ops.ts'
import type { PlainArena } from './plain-arena.ts'
import type { ReferenceOp } from './reference-op.ts'

export const writeKv: ReferenceOp<WriteKvOp> = (op, start, end, run) => {
  const { arena, layer, keys, values, slots } = op
  const { numKvHeads, headDim } = arena
  if (start === 0) (arena as PlainArena).plan?.write(layer, run.copyOf(slots).subarray(0, rowsOf(op.rows, run)))
  for (let r = start; r < end; r++) {
    const slot = run.copyOf(slots)[r] as number
    for (let head = 0; head < numKvHeads; head++) {
      const at = (r * numKvHeads + head) * headDim
      const plain = arena as PlainArena
      plain.writeRow('keys', layer, head, slot, keys, at)
      plain.writeRow('values', layer, head, slot, values, at)
    }
  }
}
