import type { DonorStore, Scope } from '@kvasir/core'

/** A donor store that can be looked into, kept within a budget and emptied. */
export interface KvDonors extends DonorStore {
  /** Of the donors that `open` would find, the longest unused first. */
  ids(): readonly string[]
  has(id: string): boolean
  /** What is known of a donor without reading it; null where there is none. */
  entry(id: string): DonorEntry | null
  /** The donor is not found any more, readers keep it until they close; false where there is none. */
  remove(id: string): boolean
  /** Hears of each donor that is gone: evicted, removed or damaged. Returns what ends it. */
  onRemove(listener: (id: string) => void): () => void
  counts(): DonorCounts
  /** Donors in memory are gone, those in files stay. A put under way and every later use throw a DisposedError; what is lent stays good. */
  dispose(): Promise<void>
}

export interface DonorEntry {
  readonly id: string
  readonly scope: Scope
  readonly numTokens: number
  /** What it takes of the budget. */
  readonly bytes: number
}

export interface DonorCounts {
  /** Of all donors: found, still read, or being written. At most the budget. */
  readonly bytes: number
  readonly donors: number
  /** Donors that somebody reads, found or not: these are not evicted. A file's until its last read has come. */
  readonly lent: number
  /** `open` found one. */
  readonly hits: number
  /** `open` found none. */
  readonly misses: number
  /** Left to make room. */
  readonly evicted: number
  /** Turned away by `put`. */
  readonly refused: number
  /** Gone because the stored bytes were not those that were written. */
  readonly damaged: number
}
