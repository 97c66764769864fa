import type { RunList } from '@kvasir/core'
import { CheckedRunLists } from '../checked-run-lists.ts'
import type { ResourceOwner } from '../resource.ts'

/** Run lists as the caller or a selector gave them, and what kept rows leave of them. */
export class PlainRunLists extends CheckedRunLists {
  readonly lists: RunList[]
  /** [maxSequences] what attention reads in place of the list, if kept rows narrow it. */
  readonly narrowed: (RunList | undefined)[] = []

  constructor(owner: ResourceOwner, maxSequences: number, numKvHeads: number, numHeads?: number) {
    super(owner, maxSequences, numKvHeads, numHeads)
    const empty = () => ({ rowStarts: new Int32Array(numKvHeads + 1), runs: new Int32Array() })
    this.lists = Array.from({ length: maxSequences }, empty)
  }

  /** The list that attention reads. */
  at(sequence: number): RunList {
    return this.narrowed[sequence] ?? (this.lists[sequence] as RunList)
  }

  protected write(sequence: number, list: RunList): void {
    this.lists[sequence] = copyOf(list)
    this.narrowed[sequence] = undefined
  }

  protected read(sequence: number): RunList {
    return copyOf(this.at(sequence))
  }

  protected free(): void {
    this.lists.length = 0
  }
}

function copyOf({ rowStarts, runs }: RunList): RunList {
  return { rowStarts: rowStarts.slice(), runs: runs.slice() }
}
