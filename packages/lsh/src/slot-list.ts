/** Numbered places for entries, reused once free, in order of use. */
export interface SlotList {
  /** A free place, now the one used last. */
  take(): number
  release(slot: number): void
  /** Makes it the one used last. */
  touch(slot: number): void
  /** The place used longest ago, -1 where none is taken. */
  oldest(): number
  isTaken(slot: number): boolean
  /** Number of places taken. */
  readonly size: number
  /** One more than the highest place ever taken. */
  readonly end: number
}

const none = -1
const free = -2

export function createSlotList(): SlotList {
  // A doubly linked list from the place used longest ago to the one used last; `free` marks places outside of it.
  const older: number[] = []
  const newer: number[] = []
  const unused: number[] = []
  let [first, last, size] = [none, none, 0]

  function unlink(slot: number): void {
    if (older[slot] === none) first = newer[slot]
    else newer[older[slot]] = newer[slot]
    if (newer[slot] === none) last = older[slot]
    else older[newer[slot]] = older[slot]
  }

  function append(slot: number): void {
    older[slot] = last
    newer[slot] = none
    if (last === none) first = slot
    else newer[last] = slot
    last = slot
  }

  return {
    take: () => {
      const slot = unused.pop() ?? older.length
      append(slot)
      size++
      return slot
    },
    release: (slot) => {
      unlink(slot)
      older[slot] = free
      unused.push(slot)
      size--
    },
    touch: (slot) => {
      if (slot === last) return
      unlink(slot)
      append(slot)
    },
    oldest: () => first,
    isTaken: (slot) => slot < older.length && older[slot] !== free,
    get size() {
      return size
    },
    get end() {
      return older.length
    },
  }
}
