/** Lists of slots by 32-bit tag, each of at most `maxListed` slots, without objects an entry. */
export interface PostingTable {
  /** Adds a slot that is not in the tag's list. A full list gives up its oldest slot. */
  add(tag: number, slot: number): void
  /** Takes a slot out of the tag's list, if it is there. */
  remove(tag: number, slot: number): void
  /** Writes the tag's slots to out [maxListed], in no order; how many. */
  list(tag: number, out: Int32Array): number
  readonly numPostings: number
  readonly numBytes: number
}

export interface PostingTableOptions {
  readonly maxListed: number
  /** When the slot was filled; smaller is older. */
  readonly ageOf: (slot: number) => number
}

/** Open addressing with linear probing. An entry is a pair: tag, slot + 1; a pair with 0 is free. */
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
const maxLoad = 0.75
const growth = 1.25

export function createPostingTable({ maxListed, ageOf }: PostingTableOptions): PostingTable {
  let parts: Part[] = [emptyPart(smallest)]
  let numPostings = 0

  const partOf = (tag: number) => parts[tag & (parts.length - 1)] as Part

  function split(): void {
    const [whole] = parts as [Part]
    parts = Array.from({ length: manyParts }, () => emptyPart(Math.ceil((growth * splitAt) / maxLoad / manyParts)))
    eachEntry(whole, (tag, mark) => place(partOf(tag), tag, mark))
  }

  return {
    add: (tag, slot) => {
      if (numPostings === splitAt && parts.length === 1) split()
      const part = partOf(tag)
      if (part.used + 1 > part.size * maxLoad) grow(part)
      const { entries, size } = part
      let at = homeOf(tag, size)
      let listed = 0
      let oldest = -1
      let leastAge = Number.POSITIVE_INFINITY
      while (entries[2 * at + 1] !== 0) {
        if (entries[2 * at] === tag) {
          const age = ageOf(entries[2 * at + 1] - 1)
          listed++
          if (age < leastAge) {
            oldest = at
            leastAge = age
          }
        }
        at = at + 1 === size ? 0 : at + 1
      }
      if (listed >= maxListed) {
        entries[2 * oldest + 1] = slot + 1
        return
      }
      entries[2 * at] = tag
      entries[2 * at + 1] = slot + 1
      part.used++
      numPostings++
    },
    remove: (tag, slot) => {
      const part = partOf(tag)
      const { entries, size } = part
      for (let at = homeOf(tag, size); entries[2 * at + 1] !== 0; at = at + 1 === size ? 0 : at + 1) {
        if (entries[2 * at] !== tag || entries[2 * at + 1] !== slot + 1) continue
        freeEntry(part, at)
        numPostings--
        return
      }
    },
    list: (tag, out) => {
      const { entries, size } = partOf(tag)
      let count = 0
      for (let at = homeOf(tag, size); entries[2 * at + 1] !== 0; at = at + 1 === size ? 0 : at + 1) {
        if (entries[2 * at] === tag) out[count++] = entries[2 * at + 1] - 1
      }
      return count
    },
    get numPostings() {
      return numPostings
    },
    get numBytes() {
      return parts.reduce((sum, { entries }) => sum + entries.byteLength, 0)
    },
  }
}

function emptyPart(size: number): Part {
  return { entries: new Uint32Array(2 * size), size, used: 0 }
}

/** By the tag's upper bits; the lower ones chose the part. */
function homeOf(tag: number, size: number): number {
  return Math.floor((tag * size) / 2 ** 32)
}

function grow(part: Part): void {
  const grown = emptyPart(Math.ceil(part.size * growth))
  eachEntry(part, (tag, mark) => place(grown, tag, mark))
  Object.assign(part, grown)
}

function eachEntry({ entries, size }: Part, visit: (tag: number, mark: number) => void): void {
  for (let at = 0; at < size; at++) {
    if (entries[2 * at + 1] !== 0) visit(entries[2 * at], entries[2 * at + 1])
  }
}

function place(part: Part, tag: number, mark: number): void {
  const { entries, size } = part
  let at = homeOf(tag, size)
  while (entries[2 * at + 1] !== 0) at = at + 1 === size ? 0 : at + 1
  entries[2 * at] = tag
  entries[2 * at + 1] = mark
  part.used++
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

function next(at: number, size: number): number {
  return at + 1 === size ? 0 : at + 1
}
