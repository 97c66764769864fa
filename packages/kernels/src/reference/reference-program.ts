import { type Run, rowsOf } from '../check-run.ts'
import { CheckedProgram } from '../checked-program.ts'
import { KernelError } from '../errors.ts'
import type { Extent, Op } from '../ops.ts'
import { attendPrefill } from './attend-prefill.ts'
import { attendRuns } from './attend-runs.ts'
import { attentionMass } from './attention-mass.ts'
import { compareKv } from './compare-kv.ts'
import { embedRows } from './embed-rows.ts'
import { gatherRows } from './gather-rows.ts'
import { inSlices } from './in-slices.ts'
import { linear } from './linear.ts'
import type { ReferenceKernels } from './reference-kernels.ts'
import type { ReferenceOp, ReferenceRun } from './reference-op.ts'
import { rmsNorm } from './rms-norm.ts'
import { rope } from './rope.ts'
import { selectRuns } from './select-runs.ts'
import { siluGate } from './silu-gate.ts'
import { writeKv } from './write-kv.ts'

const bodies: { readonly [K in Op['kind']]: ReferenceOp<Extract<Op, { kind: K }>> } = {
  embedRows,
  rmsNorm,
  linear,
  rope,
  writeKv,
  compareKv,
  attendPrefill,
  attentionMass,
  selectRuns,
  attendRuns,
  siluGate,
  gatherRows,
}

export class ReferenceProgram extends CheckedProgram {
  protected execute(run: Run): Promise<void> {
    const copies = new Map<Int32Array, Int32Array>()
    for (const buffer of this.needs.buffers.keys()) {
      if (buffer instanceof Int32Array) copies.set(buffer, buffer.slice())
    }
    const copyOf = (indices: Int32Array) => copies.get(indices) as Int32Array
    const owner = this.owner as ReferenceKernels
    return owner.enqueue(async () => {
      for (const buffer of run.takesUp) buffer.set(leftOf(owner.left, buffer))
      await runOps(this.ops, { ...run, copyOf })
      for (const buffer of run.leaves) owner.left.set(buffer, buffer.slice())
      // Whoever reads what was declared to be read by nobody shall notice.
      for (const buffer of [...this.scratch, ...run.leaves, ...run.takesUp]) buffer.fill(Number.NaN)
    })
  }

  protected free(): void {}
}

function leftOf(left: WeakMap<Float32Array, Float32Array>, buffer: Float32Array): Float32Array {
  const values = left.get(buffer)
  if (values) return values
  throw new KernelError({ parameter: 'takesUp', expected: 'buffers that a run left', got: 'one that none did' })
}

async function runOps(ops: readonly Op[], run: ReferenceRun): Promise<void> {
  for (const op of ops) {
    const body = bodies[op.kind] as ReferenceOp<Op>
    await inSlices(rowsOf(extentOf(op), run), run.signal, (row) => body(op, row, row + 1, run))
  }
}

function extentOf(op: Op): Extent {
  if (op.kind === 'attendPrefill' || op.kind === 'attentionMass') return 'tokens'
  if (op.kind === 'selectRuns' || op.kind === 'attendRuns') return 'sequences'
  return op.rows
}
