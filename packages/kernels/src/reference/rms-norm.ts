import type { RmsNormOp } from '../ops.ts'
import type { ReferenceOp } from './reference-op.ts'

/** out = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019). */
export const rmsNorm: ReferenceOp<RmsNormOp> = ({ x, weight, eps, groups, dim, out }, start, end) => {
  for (let vector = start * groups; vector < end * groups; vector++) {
    const at = vector * dim
    let squares = 0
    for (let i = 0; i < dim; i++) squares += (x[at + i] as number) ** 2
    const scale = 1 / Math.sqrt(squares / dim + eps)
    for (let i = 0; i < dim; i++) out[at + i] = (x[at + i] as number) * scale * (weight[i] as number)
  }
}
