import { checkInteger, pageTokens, type RunList, ShapeError } from '@kvasir/core'
import { checkRunList } from './check-run-list.ts'
import { KernelError } from './errors.ts'
import type { KeptRows, KvArena } from './kernels.ts'
import { Resource, type ResourceOwner } from './resource.ts'

/** What kept rows of all backends share: checks. */
export abstract class CheckedKeptRows extends Resource implements KeptRows {
  readonly numLayers: number
  readonly numKvHeads: number

  constructor(owner: ResourceOwner, numLayers: number, numKvHeads: number) {
    super(owner)
    this.numLayers = checkInteger('numLayers', numLayers, 1, 4096)
    this.numKvHeads = checkInteger('numKvHeads', numKvHeads, 1, 4096)
  }

  set(layer: number, list: RunList, endTokens: number): void {
    this.assertQuiet()
    this.checkLayer(layer)
    checkInteger('endTokens', endTokens, 0, 2 ** 31 - 64)
    checkRunList(list, this.numKvHeads)
    const end = endOf(list)
    if (end > endTokens) {
      throw new KernelError({ parameter: 'list', expected: `runs that end at or before token ${endTokens}`, got: end })
    }
    this.drop(layer, list, endTokens)
  }

  heldTokens(layer: number): number {
    this.assertAlive('kept')
    this.checkLayer(layer)
    return this.count(layer)
  }

  clone(): KeptRows {
    this.assertAlive('kept')
    return this.owner.resources.keep(this.copy())
  }

  truncate(numTokens: number): void {
    this.assertQuiet()
    this.cut(checkInteger('numTokens', numTokens, 0, 2 ** 31 - 1))
  }

  /** Throws unless it describes rows of this arena. */
  checkFits(parameter: string, arena: KvArena): void {
    if (arena.numLayers === this.numLayers && arena.numKvHeads === this.numKvHeads) return
    throw new ShapeError({
      parameter,
      expected: `kept rows of ${arena.numLayers} layers and ${arena.numKvHeads} KV heads, as in the arena`,
      got: `${this.numLayers} and ${this.numKvHeads}`,
    })
  }

  /** The list ends at or before endTokens. */
  protected abstract drop(layer: number, list: RunList, endTokens: number): void
  protected abstract count(layer: number): number
  protected abstract copy(): CheckedKeptRows
  protected abstract cut(numTokens: number): void

  private checkLayer(layer: number): void {
    checkInteger('layer', layer, 0, this.numLayers - 1)
  }

  private assertQuiet(): void {
    this.assertAlive('kept')
    if (!this.inUse) return
    throw new KernelError({
      parameter: 'kept',
      expected: 'kept rows that no run uses',
      got: 'rows in use',
      remedy: 'Await the promise of run() first.',
    })
  }
}

function endOf({ rowStarts, runs }: RunList): number {
  let end = 0
  for (let row = 0; row + 1 < rowStarts.length; row++) {
    const last = 3 * ((rowStarts[row + 1] as number) - 1)
    if (rowStarts[row + 1] === rowStarts[row]) continue
    end = Math.max(end, (runs[last] as number) * pageTokens + (runs[last + 1] as number) + (runs[last + 2] as number))
  }
  return end
}
