import { createWordPool, type WordPool } from './word-pool.ts'

/** Lists of slots by 32-bit tag, each of at most `maxListed` slots in the order of addition, without objects an entry. */
export interface PostingTable {
  /** Adds a slot that is not in the tag's list. A full list gives up its first. */
  add(tag: number, slot: number): void
  /** Takes a slot out of the tag's list, if it is there. */
  remove(tag: number, slot: number): void
  /** Writes the tag's slots to out [maxListed]; how many. */
  list(tag: number, out: Int32Array): number
  readonly numPostings: number
  readonly numBytes: number
}

/**
 * Open addressing with linear probing over distinct tags. An entry is a pair: tag, and slot + 1 or, of several slots, the
 * place of their list in a pool, marked by the top bit. A pair with 0 is free.
 */
interface Part {
  entries: Uint32Array
  /** Pairs that `entries` has room for. */
  size: number
  used: number
}

/** Parts grow one by one, so that no insertion copies the whole table. Small tables have one. */
const manyParts = 256
const splitAt = 65_536
const smallest = 16
const maxLoad = 0.8
const growth = 1.25
const listBit = 0x80000000

export function createPostingTable(maxListed: number): PostingTable {
  const pool = createWordPool()
  let parts: Part[] = [emptyPart(smallest)]
  let numPostings = 0
  let numTags = 0

  const partOf = (tag: number) => parts[tag & (parts.length - 1)]

  function addTag(tag: number, value: number): void {
    if (numTags === splitAt && parts.length === 1) parts = split(parts[0])
    const part = partOf(tag)
    if (part.used + 1 > part.size * maxLoad) grow(part)
    place(part, tag, value)
    numTags++
    numPostings++
  }

  return {
    add: (tag, slot) => {
      const { entries, size } = partOf(tag)
      const at = find(entries, size, tag)
      const value = entries[2 * at + 1]
      if (value === 0) addTag(tag, slot + 1)
      else if (maxListed === 1) entries[2 * at + 1] = slot + 1
      else {
        const list = value >= listBit ? value - listBit : startList(pool, value - 1)
        const count = countOf(pool, list)
        const added = count < maxListed
        entries[2 * at + 1] = listBit + (added ? append(pool, list, slot, maxListed) : replaceFirst(pool, list, slot))
        if (added) numPostings++
      }
    },
    remove: (tag, slot) => {
      const part = partOf(tag)
      const at = find(part.entries, part.size, tag)
      const value = part.entries[2 * at + 1]
      if (value === slot + 1) {
        freeEntry(part, at)
        numTags--
        numPostings--
      } else if (value >= listBit && removeFrom(pool, value - listBit, slot)) {
        part.entries[2 * at + 1] = shortened(pool, value - listBit)
        numPostings--
      }
    },
    list: (tag, out) => {
      const { entries, size } = partOf(tag)
      const value = entries[2 * find(entries, size, tag) + 1]
      if (value === 0) return 0
      if (value < listBit) {
        out[0] = value - 1
        return 1
      }
      const { words } = pool
      const start = value - listBit + 1
      const count = countOf(pool, value - listBit)
      for (let i = 0; i < count; i++) out[i] = words[start + i]
      return count
    },
    get numPostings() {
      return numPostings
    },
    get numBytes() {
      return parts.reduce((sum, { entries }) => sum + entries.byteLength, pool.words.byteLength)
    },
  }
}

// A list is a word with its room in the upper half and its count in the lower one, then its slots.

function countOf({ words }: WordPool, list: number): number {
  return words[list] & 0xffff
}

function roomOf({ words }: WordPool, list: number): number {
  return words[list] >>> 16
}

function newList(pool: WordPool, room: number, slots: ArrayLike<number>): number {
  const list = pool.take(1 + room)
  pool.words[list] = (room << 16) | slots.length
  pool.words.set(slots, list + 1)
  return list
}

function startList(pool: WordPool, slot: number): number {
  return newList(pool, 2, [slot])
}

/** Where the list then is. */
function append(pool: WordPool, list: number, slot: number, maxListed: number): number {
  const [count, room] = [countOf(pool, list), roomOf(pool, list)]
  let place = list
  if (count === room) {
    place = newList(pool, Math.min(maxListed, Math.ceil(1.5 * room)), pool.words.slice(list + 1, list + 1 + count))
    pool.free(list, 1 + room)
  }
  pool.words[place + 1 + count] = slot
  pool.words[place]++
  return place
}

function replaceFirst(pool: WordPool, list: number, slot: number): number {
  const last = list + countOf(pool, list)
  pool.words.copyWithin(list + 1, list + 2, last + 1)
  pool.words[last] = slot
  return list
}

function removeFrom(pool: WordPool, list: number, slot: number): boolean {
  const { words } = pool
  const end = list + 1 + countOf(pool, list)
  for (let at = list + 1; at < end; at++) {
    if (words[at] !== slot) continue
    words.copyWithin(at, at + 1, end)
    words[list]--
    return true
  }
  return false
}

/** What an entry holds of a list that lost a slot: the slot itself if one is left. */
function shortened(pool: WordPool, list: number): number {
  if (countOf(pool, list) > 1) return listBit + list
  pool.free(list, 1 + roomOf(pool, list))
  return pool.words[list + 1] + 1
}

function emptyPart(size: number): Part {
  return { entries: new Uint32Array(2 * size), size, used: 0 }
}

/** Where the tag's entry is, or the free pair where it would be. */
function find(entries: Uint32Array, size: number, tag: number): number {
  let at = homeOf(tag, size)
  while (entries[2 * at + 1] !== 0 && entries[2 * at] !== tag) at = next(at, size)
  return at
}

/** By the tag's upper bits; the lower ones chose the part. */
function homeOf(tag: number, size: number): number {
  return Math.floor((tag * size) / 2 ** 32)
}

function next(at: number, size: number): number {
  return at + 1 === size ? 0 : at + 1
}

function place(part: Part, tag: number, value: number): void {
  const at = find(part.entries, part.size, tag)
  part.entries[2 * at] = tag
  part.entries[2 * at + 1] = value
  part.used++
}

function split(whole: Part): Part[] {
  const size = Math.ceil((growth * splitAt) / maxLoad / manyParts)
  const parts = Array.from({ length: manyParts }, () => emptyPart(size))
  eachEntry(whole, (tag, value) => place(parts[tag & (manyParts - 1)], tag, value))
  return parts
}

function grow(part: Part): void {
  const grown = emptyPart(Math.ceil(part.size * growth))
  eachEntry(part, (tag, value) => place(grown, tag, value))
  Object.assign(part, grown)
}

function eachEntry({ entries, size }: Part, visit: (tag: number, value: number) => void): void {
  for (let at = 0; at < size; at++) {
    if (entries[2 * at + 1] !== 0) visit(entries[2 * at], entries[2 * at + 1])
  }
}

/** Frees a pair and moves later ones up to where searches for them will look (Knuth, volume 3, section 6.4, algorithm R). */
function freeEntry(part: Part, freed: number): void {
  const { entries, size } = part
  let hole = freed
  for (let at = next(hole, size); entries[2 * at + 1] !== 0; at = next(at, size)) {
    const home = homeOf(entries[2 * at], size)
    // The pair stays if its home lies after the hole on the way to where it stands.
    const stays = hole <= at ? hole < home && home <= at : hole < home || home <= at
    if (stays) continue
    entries[2 * hole] = entries[2 * at]
    entries[2 * hole + 1] = entries[2 * at + 1]
    hole = at
  }
  entries[2 * hole + 1] = 0
  part.used--
}
