import type { LinearOp } from '../ops.ts'
import type { PlainWeight } from './plain-weight.ts'
import type { ReferenceOp } from './reference-op.ts'

/** y = x W^T + bias, summed in float64. `mode` and `path` say how fast bodies may round; here nothing is rounded. */
export const linear: ReferenceOp<LinearOp> = ({ x, parts }, start, end) => {
  for (const { weight, bias, out, accumulate } of parts) {
    const { values, rows: outFeatures, cols } = weight as PlainWeight
    for (let r = start; r < end; r++) {
      for (let o = 0; o < outFeatures; o++) {
        const at = o * cols
        let y = bias === undefined ? 0 : (bias[o] as number)
        for (let i = 0; i < cols; i++) y += (x[r * cols + i] as number) * (values[at + i] as number)
        if (accumulate) y += out[r * outFeatures + o] as number
        out[r * outFeatures + o] = y
      }
    }
  }
}
