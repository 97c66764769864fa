import { checkKeys, OptionError } from '@kvasir/core'
import { checkOps } from './check-ops.ts'
import { checkRun, type Run } from './check-run.ts'
import type { Program, ProgramOptions, RunOptions } from './kernels.ts'
import type { Op } from './ops.ts'
import type { ProgramNeeds } from './program-needs.ts'
import { holding, Resource, type ResourceOwner } from './resource.ts'

/** What programs of all backends share: checks, and holding everything that a run uses until it has ended. */
export abstract class CheckedProgram extends Resource implements Program {
  protected readonly ops: readonly Op[]
  protected readonly needs: ProgramNeeds

  /** Buffers whose contents after a run nobody reads. */
  protected readonly scratch: readonly Float32Array[]

  constructor(owner: ResourceOwner, ops: readonly Op[], options: ProgramOptions = {}) {
    super(owner)
    this.ops = ops.map(copyOf)
    this.needs = checkOps(owner, this.ops)
    checkKeys('createProgram', options, ['scratch'])
    this.scratch = [...(options.scratch ?? [])]
    this.scratch.forEach((buffer, i) => {
      if (this.needs.buffers.has(buffer)) return
      throw new OptionError({ parameter: `scratch[${i}]`, expected: 'a buffer that an op names', got: buffer })
    })
  }

  async run(options: RunOptions): Promise<void> {
    this.assertAlive('program')
    const run = checkRun(this.needs, options)
    run.signal?.throwIfAborted()
    const held: Resource[] = [this, ...this.needs.resources]
    for (const selector of run.selectors) if (typeof selector !== 'string') held.push(selector)
    for (const kept of run.kept) if (kept !== null) held.push(kept)
    await holding(held, () => this.execute(run))
  }

  /** Starts the run before it returns; index arrays are read in the call. */
  protected abstract execute(run: Run): Promise<void>
}

/** An own copy of what an op names; the buffers themselves are shared. */
function copyOf(op: Op): Op {
  if (op.kind === 'linear' && Array.isArray(op.parts)) return { ...op, parts: op.parts.map((part) => ({ ...part })) }
  if ('batch' in op) return { ...op, batch: { ...op.batch } }
  return { ...op }
}
