import { chooseDonors, overlapOf } from './donor-choice.ts'
import { createPostingTable } from './posting-table.ts'
import { type ShingleRule, sampleShingles } from './shingle-samples.ts'
import { agreement, bandTags } from './signature-bands.ts'
import { createSlotList } from './slot-list.ts'
import { createWordPool } from './word-pool.ts'

/** A donor that may resemble a target. Hashes proposed it; compare its tokens before use. */
export interface DonorCandidate {
  readonly id: string
  /** Share of the target's shingles that the donor holds, estimated from the sampled ones. */
  readonly estimatedShare: number
  /** Share that it holds and no candidate before it does. */
  readonly addedShare: number
  /** Share of equal bits of the two signatures; null where one has none. */
  readonly agreement: number | null
}

export interface ShardOptions {
  readonly rule: ShingleRule
  readonly maxListed: number
  readonly bandBits: number
}

interface ShardEntry {
  readonly id: string
  readonly tokens: ArrayLike<number>
  readonly signature: Uint32Array | null
  readonly expiresMs: number
}

interface ShardQuery {
  readonly tokens: ArrayLike<number>
  readonly signature: Uint32Array | null
  readonly limit: number
  readonly nowMs: number
}

/** The donors of one scope. */
export interface DonorShard {
  insert(entry: ShardEntry, nowMs: number): void
  remove(id: string): boolean
  query(query: ShardQuery): DonorCandidate[]
  removeOldest(): void
  /** Removes all that expired by then; how many. */
  sweep(nowMs: number): number
  countAlive(nowMs: number): number
  /** Donors that take room, expired ones too. */
  readonly size: number
  readonly numBytes: number
}

/** Shingles of one target that are looked up; more are sampled down. */
const maxProbes = 1024
/** Donors whose shingles are compared with the target's. */
const maxCompared = 64
/** Places that one insertion looks at for expired donors. */
const sweptAtOnce = 8

interface Entry {
  readonly id: string
  readonly expiresMs: number
  /** Where the pool keeps its shingle tags, and after them its signature. */
  readonly place: number
  readonly numShingles: number
  readonly signatureWords: number
}

export function createDonorShard({ rule, maxListed, bandBits }: ShardOptions): DonorShard {
  const slots = createSlotList()
  const slotOf = new Map<string, number>()
  const entries: (Entry | undefined)[] = []
  const pool = createWordPool()
  const table = createPostingTable(maxListed)
  const listed = new Int32Array(maxListed)
  const scores: number[] = []
  let sweepAt = 0

  const entryAt = (slot: number) => entries[slot] as Entry
  const shinglesOf = ({ place, numShingles }: Entry) => pool.words.subarray(place, place + numShingles)
  const signatureOf = ({ place, numShingles, signatureWords }: Entry) =>
    signatureWords === 0 ? null : pool.words.subarray(place + numShingles, place + numShingles + signatureWords)
  const bandsOf = (signature: Uint32Array | null) =>
    signature === null ? new Uint32Array(0) : bandTags(signature, rule.key, bandBits)

  function removeSlot(slot: number): void {
    const entry = entryAt(slot)
    for (const tag of shinglesOf(entry)) table.remove(tag, slot)
    for (const tag of bandsOf(signatureOf(entry))) table.remove(tag, slot)
    pool.free(entry.place, entry.numShingles + entry.signatureWords)
    slotOf.delete(entry.id)
    entries[slot] = undefined
    slots.release(slot)
  }

  function sweepSome(count: number, nowMs: number): number {
    let swept = 0
    for (let looked = 0; looked < count; looked++) {
      sweepAt = sweepAt >= slots.end ? 0 : sweepAt
      if (slots.isTaken(sweepAt) && entryAt(sweepAt).expiresMs <= nowMs) {
        removeSlot(sweepAt)
        swept++
      }
      sweepAt++
    }
    return swept
  }

  /** The slots listed most often under `tags`, at most `count`. A tag that few share says more than one that many do. */
  function propose(tags: Uint32Array, count: number, nowMs: number): number[] {
    const touched: number[] = []
    for (const tag of tags) {
      const numListed = table.list(tag, listed)
      const weight = Math.ceil(maxListed / numListed)
      for (let i = 0; i < numListed; i++) {
        const slot = listed[i]
        if (scores[slot] === 0) touched.push(slot)
        scores[slot] += weight
      }
    }
    const best = mostScored(touched, scores, count)
    for (const slot of touched) scores[slot] = 0
    return best.filter((slot) => entryAt(slot).expiresMs > nowMs)
  }

  return {
    insert: ({ id, tokens, signature, expiresMs }, nowMs) => {
      sweepSome(sweptAtOnce, nowMs)
      const known = slotOf.get(id)
      if (known !== undefined) removeSlot(known)
      const shingles = sampleShingles(tokens, rule)
      const signatureWords = signature?.length ?? 0
      const place = pool.take(shingles.length + signatureWords)
      pool.words.set(shingles, place)
      if (signature !== null) pool.words.set(signature, place + shingles.length)
      const slot = slots.take()
      slotOf.set(id, slot)
      scores[slot] = 0
      entries[slot] = { id, expiresMs, place, numShingles: shingles.length, signatureWords }
      for (const tag of shingles) table.add(tag, slot)
      for (const tag of bandsOf(signature)) table.add(tag, slot)
    },
    remove: (id) => {
      const slot = slotOf.get(id)
      if (slot === undefined) return false
      removeSlot(slot)
      return true
    },
    query: ({ tokens, signature, limit, nowMs }) => {
      const target = sampleShingles(tokens, rule, maxProbes)
      const alike = propose(bandsOf(signature), maxCompared, nowMs)
      const compared = new Set([...propose(target, maxCompared, nowMs), ...alike])
      const overlaps = [...compared].map((slot) => overlapOf(slot, target, shinglesOf(entryAt(slot))))
      const agreementWith = (slot: number) => {
        const own = signatureOf(entryAt(slot))
        return signature === null || own === null ? null : agreement(signature, own)
      }
      const candidates = chooseDonors(overlaps, limit).map(({ slot, count, added }) => ({
        slot,
        estimatedShare: count / target.length,
        addedShare: added / target.length,
        agreement: agreementWith(slot),
      }))
      const others = overlaps
        .filter(({ count }) => count === 0)
        .map(({ slot }) => ({ slot, estimatedShare: 0, addedShare: 0, agreement: agreementWith(slot) }))
        .sort((a, b) => (b.agreement ?? 0) - (a.agreement ?? 0))
      const found = [...candidates, ...others].slice(0, limit)
      for (const { slot } of found) slots.touch(slot)
      return found.map(({ slot, ...rest }) => ({ id: entryAt(slot).id, ...rest }))
    },
    removeOldest: () => removeSlot(slots.oldest()),
    sweep: (nowMs) => {
      sweepAt = 0
      return sweepSome(slots.end, nowMs)
    },
    countAlive: (nowMs) =>
      entries.reduce((sum, entry) => sum + (entry !== undefined && entry.expiresMs > nowMs ? 1 : 0), 0),
    get size() {
      return slots.size
    },
    get numBytes() {
      return pool.words.byteLength + table.numBytes
    },
  }
}

/** At most `count` of `slots` with the highest scores. */
function mostScored(slots: readonly number[], scores: readonly number[], count: number): number[] {
  if (slots.length <= count) return [...slots]
  const limit = Float64Array.from(slots, (slot) => scores[slot]).sort()[slots.length - count]
  const above = slots.filter((slot) => scores[slot] > limit)
  const equal = slots.filter((slot) => scores[slot] === limit)
  return [...above, ...equal.slice(0, count - above.length)]
}
