import {
  DisposedError,
  type DonorKv,
  isPrivateScope,
  type Scope,
  ScopeError,
  sameScope,
  validateScope,
} from '@kvasir/core'
import { checkDonorId, checkFormat } from './donor-format.ts'
import type { DonorCounts, DonorEntry } from './kv-donors.ts'

/** A donor on the books. */
export interface LedgerEntry<T> extends DonorEntry {
  readonly payload: T
}

type Cause = 'evicted' | 'removed' | 'damaged'

export interface LedgerOptions<T> {
  readonly budgetBytes: number
  readonly maxDonors: number
  /** Called as soon as nobody finds the donor, though some may still read it. Where it fails, the bytes go on counting. */
  readonly discard: (payload: T) => Promise<void> | void
}

/**
 * The books of a donor store: who is found, who is read, what may go, and how many bytes all of it takes. Bytes count from
 * the reservation of a put until the last reader of a dropped donor has closed and `discard` is done.
 */
export class DonorLedger<T> {
  readonly #options: LedgerOptions<T>
  /** Longest unused first. */
  readonly #found = new Map<string, LedgerEntry<T>>()
  readonly #readers = new Map<LedgerEntry<T>, number>()
  readonly #listeners = new Set<(id: string) => void>()
  /** Not found any more, not closed by all readers yet: what `discard` said. */
  readonly #dropped = new Map<LedgerEntry<T>, Promise<void> | void>()
  readonly #leaving = new Set<Promise<void>>()
  #bytes = 0
  #reserved = 0
  #turn: Promise<unknown> = Promise.resolve()
  #disposed = false
  readonly #counts = { hits: 0, misses: 0, evicted: 0, refused: 0, damaged: 0, removed: 0 }

  constructor(options: LedgerOptions<T>) {
    this.#options = options
  }

  /** Looks at a donor before it is put: false for one that no store keeps. Throws where it is malformed or not the caller's. */
  admits({ id, scope, format, tokens }: DonorKv): boolean {
    this.checkOpen()
    checkDonorId(id)
    checkFormat(format)
    if (isPrivateScope(scope)) return false
    validateScope(scope)
    this.checkOwner(id, scope)
    return tokens.length > 0
  }

  /** Makes room for one more donor, one call at a time; false where what may go is not enough. */
  reserve(bytes: number): Promise<boolean> {
    const room = this.#turn.then(() => this.#makeRoom(bytes))
    this.#turn = room.catch(() => {})
    return room
  }

  async #makeRoom(bytes: number): Promise<boolean> {
    this.checkOpen()
    await Promise.all(this.#leaving)
    const victims = this.#victimsFor(bytes)
    for (const victim of victims ?? []) this.drop(victim.id, 'evicted')
    await Promise.all(this.#leaving)
    if (victims === null || this.#bytes + bytes > this.#options.budgetBytes) return false
    this.#bytes += bytes
    this.#reserved++
    return true
  }

  /** The longest unused donors that nobody reads; null where all of them are too little. */
  #victimsFor(bytes: number): LedgerEntry<T>[] | null {
    const { budgetBytes, maxDonors } = this.#options
    const victims: LedgerEntry<T>[] = []
    let [overBytes, overDonors] = [this.#bytes + bytes - budgetBytes, this.#found.size + this.#reserved + 1 - maxDonors]
    for (const entry of this.#found.values()) {
      if (overBytes <= 0 && overDonors <= 0) break
      if (this.#readers.has(entry)) continue
      victims.push(entry)
      overBytes -= entry.bytes
      overDonors--
    }
    return overBytes <= 0 && overDonors <= 0 ? victims : null
  }

  /** Gives a reservation back. */
  cancel(bytes: number): void {
    this.#bytes -= bytes
    this.#reserved--
  }

  /** Drops this very donor, not one that took its place. */
  dropEntry(entry: LedgerEntry<T>, cause: Cause): void {
    if (this.#found.get(entry.id) === entry) this.drop(entry.id, cause)
  }

  /** Turns a reservation of `entry.bytes` into a donor that is found, in place of one of the same id. */
  commit(entry: LedgerEntry<T>): void {
    this.#reserved--
    const before = this.#found.get(entry.id)
    this.#found.delete(entry.id)
    this.#found.set(entry.id, entry)
    if (before !== undefined) this.#leave(before)
  }

  /** Throws a ScopeError for a donor of another scope. Counts a miss, not yet a hit. */
  find(id: string, scope: Scope): LedgerEntry<T> | null {
    this.checkOpen()
    const entry = this.#found.get(id)
    if (entry === undefined) {
      this.#counts.misses++
      return null
    }
    this.checkOwner(id, scope)
    return entry
  }

  /** Throws a ScopeError where `id` belongs to another scope. */
  checkOwner(id: string, scope: Scope): void {
    const entry = this.#found.get(id)
    if (entry === undefined || sameScope(entry.scope, scope)) return
    throw new ScopeError({ parameter: 'scope', expected: `the scope of donor ${id}`, got: scope })
  }

  /** One more reader; the donor is the last that would be evicted. */
  hold(entry: LedgerEntry<T>): void {
    this.#readers.set(entry, (this.#readers.get(entry) ?? 0) + 1)
    if (this.#found.get(entry.id) === entry) {
      this.#found.delete(entry.id)
      this.#found.set(entry.id, entry)
    }
  }

  /** `hold` came to nothing, or the reader is done. */
  release(entry: LedgerEntry<T>): void {
    const readers = this.#readers.get(entry)! - 1
    if (readers > 0) {
      this.#readers.set(entry, readers)
      return
    }
    this.#readers.delete(entry)
    if (this.#dropped.has(entry)) this.#free(entry)
  }

  count(what: 'hits' | 'misses' | 'refused' | 'damaged'): void {
    this.#counts[what]++
  }

  /** The donor is not found any more, and listeners hear of it. */
  drop(id: string, cause: Cause): boolean {
    const entry = this.#found.get(id)
    if (entry === undefined) return false
    this.#found.delete(id)
    this.#counts[cause]++
    this.#leave(entry)
    for (const listener of [...this.#listeners]) listener(id)
    return true
  }

  #leave(entry: LedgerEntry<T>): void {
    this.#dropped.set(entry, this.#options.discard(entry.payload))
    if (!this.#readers.has(entry)) this.#free(entry)
  }

  #free(entry: LedgerEntry<T>): void {
    const discarded = this.#dropped.get(entry)
    this.#dropped.delete(entry)
    const freed = () => {
      this.#bytes -= entry.bytes
    }
    if (discarded === undefined) {
      freed()
      return
    }
    const leaving = discarded.then(freed, () => {}).finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }

  entry(id: string): DonorEntry | null {
    const found = this.#found.get(id)
    return found === undefined ? null : { id, scope: found.scope, numTokens: found.numTokens, bytes: found.bytes }
  }

  ids(): readonly string[] {
    return [...this.#found.keys()]
  }

  onRemove(listener: (id: string) => void): () => void {
    const own = (id: string) => listener(id)
    this.#listeners.add(own)
    return () => {
      this.#listeners.delete(own)
    }
  }

  counts(): DonorCounts {
    const { hits, misses, evicted, refused, damaged } = this.#counts
    const lent = this.#readers.size
    return { bytes: this.#bytes, donors: this.#found.size, lent, hits, misses, evicted, refused, damaged }
  }

  checkOpen(): void {
    if (!this.#disposed) return
    throw new DisposedError({ parameter: 'donors', expected: 'a store that is not disposed', got: 'a disposed one' })
  }

  /** Nothing is found any more; waits for what is being freed. */
  async dispose(): Promise<void> {
    this.#disposed = true
    await this.#turn
    await Promise.all(this.#leaving)
    this.#found.clear()
  }
}
