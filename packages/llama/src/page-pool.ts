import { KvasirError } from '@kvasir/core'

/** No page is free. */
export class KvCapacityError extends KvasirError {}

/** Counts the owners of each physical page; forks and the prefix cache share pages. Moves no data. */
export class PagePool {
  readonly capacity: number
  readonly #owners: Uint16Array
  readonly #free: number[] = []
  #fresh = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.#owners = new Uint16Array(capacity)
  }

  get freePages(): number {
    return this.#free.length + this.capacity - this.#fresh
  }

  /** A page with one owner, the most recently freed first. */
  take(): number {
    const page = this.#free.pop() ?? (this.#fresh < this.capacity ? this.#fresh++ : undefined)
    if (page === undefined) {
      throw new KvCapacityError({
        parameter: 'kvCapacityTokens',
        expected: 'a free page of KV memory',
        got: `${this.capacity} pages, all in use`,
        remedy: 'Dispose sequences, or load the model with a larger kvCapacityTokens.',
      })
    }
    this.#owners[page] = 1
    return page
  }

  share(page: number): void {
    this.#owners[page] = this.owners(page) + 1
  }

  release(page: number): void {
    const owners = this.owners(page) - 1
    this.#owners[page] = owners
    if (owners === 0) this.#free.push(page)
  }

  owners(page: number): number {
    return this.#owners[page] as number
  }
}
