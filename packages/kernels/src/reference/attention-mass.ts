import type { AttentionMassOp } from '../ops.ts'
import { attentionWeights } from './attention-weights.ts'
import type { PlainArena } from './plain-arena.ts'
import { indexOf, type ReferenceOp, sequenceOf } from './reference-op.ts'

/** Adds up, row by row, the softmax weights over the indices that the row sees; lse says nothing new. */
export const attentionMass: ReferenceOp<AttentionMassOp> = (op, start, end, run) => {
  const { layer, q, numHeads, scale, windowTokens, mass, massStride } = op
  const arena = op.arena as PlainArena
  if (run.sequences === 0) return
  const rows = sequenceOf(op.batch, 0, run)
  const { firstRow, endRow, pages } = rows
  for (let r = Math.max(firstRow, start); r < Math.min(endRow, end); r++) {
    const index = indexOf(op, r, rows, run)
    const first = windowTokens > 0 ? Math.max(0, index - windowTokens + 1) : 0
    const visible = Int32Array.from({ length: index - first + 1 }, (_, i) => first + i)
    for (let head = 0; head < numHeads; head++) {
      const kvHead = Math.floor((head * arena.numKvHeads) / numHeads)
      const at = (r * numHeads + head) * arena.headDim
      const query = q.subarray(at, at + arena.headDim)
      attentionWeights(arena, pages, layer, kvHead, query, visible, scale).forEach((weight, i) => {
        const to = head * massStride + first + i
        mass[to] = (mass[to] as number) + weight
      })
    }
  }
}
