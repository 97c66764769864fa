import type { SiluGateOp } from '../ops.ts'
import type { ReferenceOp } from './reference-op.ts'

/** out = silu(gate) * up with silu(z) = z / (1 + e^-z) (Shazeer 2020). */
export const siluGate: ReferenceOp<SiluGateOp> = ({ gate, up, dim, out }, start, end) => {
  for (let i = start * dim; i < end * dim; i++) {
    const z = gate[i] as number
    out[i] = (z / (1 + Math.exp(-z))) * (up[i] as number)
  }
}
