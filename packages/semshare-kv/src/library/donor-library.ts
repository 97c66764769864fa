import {
  checkInteger,
  checkKeys,
  type DonorKv,
  type DonorStore,
  formatDifference,
  IntegrityError,
  isPrivateScope,
  type KvFormat,
  type Scope,
  sameScope,
} from '@kvasir/core'
import { createDonorIndex, type DonorIndex } from '@kvasir/lsh'
import { commonPrefixTokens, type DonorTokens } from '../align/align-runs.ts'

/** A store of donors that a library can stand before, such as those of @kvasir/tier. */
export interface DonorShelf extends DonorStore {
  /** What `open` would find, the longest unused first. @default what the library put there */
  ids?(): readonly string[]
  /** What is known of a donor without reading it. */
  entry?(id: string): { readonly scope: Scope } | null
  /** Deletes a donor; readers that have it open keep it. */
  remove?(id: string): unknown
  /** Calls back with the id of each donor that goes; returns how to stop that. */
  onRemove?(listener: (id: string) => void): () => void
}

type DonorRecord = Pick<DonorKv, 'id' | 'scope' | 'tokens' | 'format'>

/** What the library asks of an index. */
export type DonorProposer = Pick<DonorIndex, 'insert' | 'remove' | 'query'>

export interface DonorLibraryOptions {
  /** Where the KV itself is. Required. */
  readonly store: DonorShelf
  /** What proposes donors for a prompt; tokens and scopes are compared whatever it says. @default `createDonorIndex()` of @kvasir/lsh */
  readonly index?: DonorProposer
  /** Donors are no longer lent, and deleted, so long after they were put or found. @default they stay while the store has them */
  readonly ttlMs?: number
  /** Clock, in milliseconds. @default performance.now */
  readonly now?: () => number
}

/** Donors for one prompt, the most alike first, each the same object every time; and those that look alike and cannot be lent. */
export interface FoundDonors {
  readonly donors: readonly DonorTokens[]
  readonly refused: readonly { readonly id: string; readonly reason: string }[]
}

export interface DonorQuery {
  readonly tokens: Int32Array
  readonly scope: Scope
  /** Of the engine that would borrow. */
  readonly format: KvFormat
  readonly limit: number
  /** Every donor of the scope, in the order in which they came, and not those that the index names. @default false */
  readonly all?: boolean
}

/** A donor store that can be asked who resembles a prompt. It is what an engine gets as its `donors`. */
export interface DonorLibrary extends DonorStore {
  readonly size: number
  find(query: DonorQuery): Promise<FoundDonors>
  /** Lends the donor no longer. */
  remove(id: string): void
  counts(): LibraryCounts
  /** Stops listening to the store, which stays as it is. */
  dispose(): void
}

export interface LibraryCounts {
  readonly donors: number
  /** Bytes of the token lists. */
  readonly tokenBytes: number
  /** Donors turned away because one that is held begins with the same tokens. */
  readonly repeated: number
  /** Donors that were gone, other than they had been, or damaged when they were opened. */
  readonly missing: number
  readonly expired: number
}

interface Entry extends DonorRecord {
  readonly sinceMs: number
}

/**
 * Stands before a store of donors, keeps their token lists and an index of them, and finds those that resemble a prompt,
 * within one scope. Takes in what the store holds already. Throws OptionError for wrong options.
 */
export async function donorLibrary(options: DonorLibraryOptions): Promise<DonorLibrary> {
  checkKeys('donorLibrary', options, ['store', 'index', 'ttlMs', 'now'])
  const { store, index = createDonorIndex(), now = () => performance.now() } = options
  const ttlMs = options.ttlMs === undefined ? Number.POSITIVE_INFINITY : checkInteger('ttlMs', options.ttlMs, 1)
  const library = new Library(store, index, ttlMs, now)
  await library.takeStored()
  return library
}

class Library implements DonorLibrary {
  readonly #store: DonorShelf
  readonly #index: DonorProposer
  readonly #ttlMs: number
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #stopListening: (() => void) | undefined
  #repeated = 0
  #missing = 0
  #expired = 0

  constructor(store: DonorShelf, index: DonorProposer, ttlMs: number, now: () => number) {
    this.#store = store
    this.#index = index
    this.#ttlMs = ttlMs
    this.#now = now
    this.#stopListening = store.onRemove?.((id) => this.#forget(id))
  }

  get size(): number {
    return this.#entries.size
  }

  /** Takes in what the store holds. */
  async takeStored(): Promise<void> {
    for (const id of this.#store.ids?.() ?? []) {
      const entry = this.#store.entry?.(id)
      const donor = entry ? await openWhole(this.#store, id, entry.scope) : null
      if (donor === null) continue
      this.#take(donor)
      donor.close()
    }
  }

  #take({ id, scope, tokens, format }: DonorRecord): void {
    this.#forget(id)
    const entry = { id, scope, tokens: tokens.slice(), format, sinceMs: this.#now() }
    this.#entries.set(id, entry)
    this.#index.insert({ id, scope, tokens: entry.tokens })
  }

  async put(donor: DonorKv, signal?: AbortSignal): Promise<boolean> {
    if (isPrivateScope(donor.scope)) return false
    const alike = this.#alike(donor)
    if (alike.some(({ tokens }) => tokens.length >= donor.tokens.length)) {
      this.#repeated++
      return false
    }
    if (!(await this.#store.put(donor, signal))) return false
    this.#take(donor)
    for (const { id } of alike) if (id !== donor.id) this.remove(id)
    return true
  }

  async open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null> {
    const entry = this.#entries.get(id)
    if (entry && this.#isExpired(entry)) return null
    let donor: DonorKv | null = null
    try {
      donor = await this.#store.open(id, scope, signal)
    } catch (error) {
      if (error instanceof IntegrityError) this.#lose(id)
      throw error
    }
    if (donor !== null && (!entry || sameTokens(entry.tokens, donor.tokens))) return donor
    donor?.close()
    this.#lose(id)
    return null
  }

  async find({ tokens, scope, format, limit, all = false }: DonorQuery): Promise<FoundDonors> {
    const donors: DonorTokens[] = []
    const refused: { id: string; reason: string }[] = []
    if (isPrivateScope(scope)) return { donors, refused }
    const proposed = all ? [...this.#entries.values()] : this.#index.query(tokens, scope, { limit })
    for (const { id } of proposed) {
      const entry = this.#lendable(id, scope)
      if (entry === null) continue
      const difference = formatDifference(format, entry.format)
      if (difference === null) donors.push(entry)
      else refused.push({ id, reason: `donor ${id} is of another kind: ${difference}` })
    }
    return { donors, refused }
  }

  remove(id: string): void {
    this.#forget(id)
    this.#store.remove?.(id)
  }

  counts(): LibraryCounts {
    let tokenBytes = 0
    for (const { tokens } of this.#entries.values()) tokenBytes += tokens.byteLength
    const { size: donors } = this.#entries
    return { donors, tokenBytes, repeated: this.#repeated, missing: this.#missing, expired: this.#expired }
  }

  dispose(): void {
    this.#stopListening?.()
  }

  /** Donors of the same kind of which one begins with all tokens of the other. */
  #alike({ tokens, scope, format }: DonorRecord): Entry[] {
    const alike: Entry[] = []
    for (const { id } of this.#index.query(tokens, scope, { limit: 8 })) {
      const entry = this.#lendable(id, scope)
      if (entry === null) continue
      const same = commonPrefixTokens(tokens, entry.tokens) === Math.min(tokens.length, entry.tokens.length)
      if (same && formatDifference(format, entry.format) === null) alike.push(entry)
    }
    return alike
  }

  /** The entry if it may be lent in this scope: an index only proposes. */
  #lendable(id: string, scope: Scope): Entry | null {
    const entry = this.#entries.get(id)
    if (!entry || !sameScope(entry.scope, scope) || this.#isExpired(entry)) return null
    return entry
  }

  #isExpired(entry: Entry): boolean {
    if (this.#now() - entry.sinceMs < this.#ttlMs) return false
    this.#expired++
    this.remove(entry.id)
    return true
  }

  #lose(id: string): void {
    if (this.#entries.has(id)) this.#missing++
    this.#forget(id)
  }

  #forget(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#index.remove(id, entry.scope)
  }
}

/** The donor; null where it is gone or damaged. */
async function openWhole(store: DonorShelf, id: string, scope: Scope): Promise<DonorKv | null> {
  try {
    return await store.open(id, scope)
  } catch (error) {
    if (error instanceof IntegrityError) return null
    throw error
  }
}

function sameTokens(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && commonPrefixTokens(a, b) === a.length
}
