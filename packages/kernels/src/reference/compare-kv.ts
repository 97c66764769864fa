import { pageTokens } from '@kvasir/core'
import type { CompareKvOp } from '../ops.ts'
import type { PlainArena } from './plain-arena.ts'
import type { ReferenceOp } from './reference-op.ts'

/** Distances and lengths as they are defined, in float64. */
export const compareKv: ReferenceOp<CompareKvOp> = (op, start, end, run) => {
  const { layer, keys, values, slots, out } = op
  const arena = op.arena as PlainArena
  const { numKvHeads, headDim } = arena
  for (let r = start; r < end; r++) {
    const slot = run.copyOf(slots)[r] as number
    const page = Int32Array.of(Math.floor(slot / pageTokens))
    const lengths = (['keys', 'values'] as const).map((part) => {
      let [apart, whole] = [0, 0]
      for (let head = 0; head < numKvHeads; head++) {
        const stored = arena.row(part, layer, head, page, slot % pageTokens)
        for (let c = 0; c < headDim; c++) {
          const value = (part === 'keys' ? keys : values)[(r * numKvHeads + head) * headDim + c] as number
          apart += (value - (stored[c] as number)) ** 2
          whole += value ** 2
        }
      }
      return [Math.sqrt(apart), Math.sqrt(whole)] as const
    })
    out[2 * r] = lengths.reduce((sum, [apart]) => sum + apart, 0)
    out[2 * r + 1] = lengths.reduce((sum, [, whole]) => sum + whole, 0)
  }
}
