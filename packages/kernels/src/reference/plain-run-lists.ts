import type { RunList } from '@kvasir/core'
import { CheckedRunLists } from '../checked-run-lists.ts'
import type { ResourceOwner } from '../resource.ts'

/** Run lists as the caller or a selector gave them. */
export class PlainRunLists extends CheckedRunLists {
  readonly lists: RunList[]

  constructor(owner: ResourceOwner, maxSequences: number, numKvHeads: number) {
    super(owner, maxSequences, numKvHeads)
    const empty = () => ({ rowStarts: new Int32Array(numKvHeads + 1), runs: new Int32Array() })
    this.lists = Array.from({ length: maxSequences }, empty)
  }

  protected write(sequence: number, list: RunList): void {
    this.lists[sequence] = copyOf(list)
  }

  protected read(sequence: number): RunList {
    return copyOf(this.lists[sequence] as RunList)
  }

  protected free(): void {
    this.lists.length = 0
  }
}

function copyOf({ rowStarts, runs }: RunList): RunList {
  return { rowStarts: rowStarts.slice(), runs: runs.slice() }
}
