import type { RopeOp } from '../ops.ts'
import type { ReferenceOp } from './reference-op.ts'

/** Turns pair (a, b) by its angle: (a cos - b sin, a sin + b cos) (Su et al. 2021). */
export const rope: ReferenceOp<RopeOp> = (op, start, end) => {
  const { x, cos, sin, pairing, numHeads, headDim } = op
  const numPairs = op.rotaryDim / 2
  for (let r = start; r < end; r++) {
    for (let head = 0; head < numHeads; head++) {
      const at = (r * numHeads + head) * headDim
      for (let i = 0; i < numPairs; i++) {
        const first = at + (pairing === 'half' ? i : 2 * i)
        const second = pairing === 'half' ? first + numPairs : first + 1
        const [a, b] = [x[first] as number, x[second] as number]
        const [c, s] = [cos[r * numPairs + i] as number, sin[r * numPairs + i] as number]
        x[first] = a * c - b * s
        x[second] = a * s + b * c
      }
    }
  }
}
