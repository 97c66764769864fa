import type { Run } from '../check-run.ts'
import { CheckedProgram } from '../checked-program.ts'
import type { ProgramOptions } from '../kernels.ts'
import type { Op } from '../ops.ts'
import type { Handle } from './binding.ts'
import type { CpuArena } from './cpu-arena.ts'
import type { CpuKeptRows } from './cpu-kept-rows.ts'
import type { CpuKernels } from './cpu-kernels.ts'
import type { CpuRunLists } from './cpu-run-lists.ts'
import type { CpuSelector } from './cpu-selection.ts'
import type { CpuWeight } from './cpu-weight.ts'

/** Ops compiled to native steps. The addon holds raw pointers; this object keeps the buffers behind them alive. */
export class CpuProgram extends CheckedProgram {
  declare readonly owner: CpuKernels
  private readonly handle: Handle

  constructor(owner: CpuKernels, ops: readonly Op[], options?: ProgramOptions) {
    super(owner, ops, options)
    this.handle = owner.binding.createProgram(owner.jobs.runtime, this.ops.map(withHandles), this.scratch)
  }

  protected execute(run: Run): Promise<void> {
    const { binding, jobs } = this.owner
    const selectors = run.selectors.map((selector) => {
      if (typeof selector === 'string') return selector === 'all' ? null : false
      return (selector as CpuSelector).handle
    })
    const kept = run.kept.map((rows) => (rows === null ? null : (rows as CpuKeptRows).handle))
    const { tokens, outputs, sequences, leaves, takesUp } = run
    const start = (job: number) =>
      binding.runProgram(jobs.runtime, job, this.handle, tokens, outputs, sequences, selectors, kept, leaves, takesUp)
    return jobs.run(start, run.signal)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}

function withHandles(op: Op): object {
  switch (op.kind) {
    case 'embedRows':
      return { ...op, table: (op.table as CpuWeight).handle }
    case 'linear':
      return { ...op, parts: op.parts.map((part) => ({ ...part, weight: (part.weight as CpuWeight).handle })) }
    case 'writeKv':
    case 'compareKv':
    case 'attendPrefill':
    case 'attentionMass':
      return { ...op, arena: (op.arena as CpuArena).handle }
    case 'selectRuns':
    case 'attendRuns':
      return { ...op, arena: (op.arena as CpuArena).handle, lists: (op.lists as CpuRunLists).handle }
    default:
      return op
  }
}
