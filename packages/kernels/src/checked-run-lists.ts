import { checkInteger, type RunList, ShapeError } from '@kvasir/core'
import { checkRunList } from './check-run-list.ts'
import { KernelError } from './errors.ts'
import type { RunLists } from './kernels.ts'
import { Resource, type ResourceOwner } from './resource.ts'

/** What run lists of all backends share: checks. */
export abstract class CheckedRunLists extends Resource implements RunLists {
  readonly maxSequences: number
  readonly numKvHeads: number
  readonly numHeads: number

  constructor(owner: ResourceOwner, maxSequences: number, numKvHeads: number, numHeads = numKvHeads) {
    super(owner)
    this.maxSequences = checkInteger('maxSequences', maxSequences, 1, 1 << 20)
    this.numKvHeads = checkInteger('numKvHeads', numKvHeads, 1, 4096)
    this.numHeads = checkInteger('numHeads', numHeads, numKvHeads, 2 ** 20)
    if (numHeads % numKvHeads === 0) return
    throw new ShapeError({ parameter: 'numHeads', expected: `a multiple of ${numKvHeads} KV heads`, got: numHeads })
  }

  set(sequence: number, list: RunList): void {
    this.assertQuiet(sequence)
    const perQueryHead = list?.rowStarts?.length === this.numHeads + 1
    checkRunList(list, perQueryHead ? this.numHeads : this.numKvHeads)
    this.write(sequence, list)
  }

  get(sequence: number): RunList {
    this.assertQuiet(sequence)
    return this.read(sequence)
  }

  protected abstract write(sequence: number, list: RunList): void
  protected abstract read(sequence: number): RunList

  private assertQuiet(sequence: number): void {
    this.assertAlive('runLists')
    checkInteger('sequence', sequence, 0, this.maxSequences - 1)
    if (!this.inUse) return
    throw new KernelError({
      parameter: 'runLists',
      expected: 'lists that no run uses',
      got: 'lists in use',
      remedy: 'Await the promise of run() first.',
    })
  }
}
