interface Entry {
  key: string | null
  step: number
  used: boolean
}

/**
 * Which keys are hot: a fixed number of slots. A slot used in the current step never goes. Of the others the first that
 * was not used since the hand last passed it goes (second chance, Corbato 1968). native/tier/slot_cache.h says the same.
 */
export class SlotCache {
  readonly #entries: Entry[]
  readonly #slots = new Map<string, number>()
  #now = 1
  #hand = 0

  constructor(slots: number) {
    this.#entries = Array.from({ length: slots }, () => ({ key: null, step: 0, used: false }))
  }

  get size(): number {
    return this.#entries.length
  }

  /** Keys that have a slot now. */
  keys(): string[] {
    return [...this.#slots.keys()]
  }

  beginStep(): void {
    this.#now++
  }

  /** The slot of a key, or -1. */
  peek(key: string): number {
    return this.#slots.get(key) ?? -1
  }

  /** The same, as a use in the current step. */
  find(key: string): number {
    const slot = this.peek(key)
    const entry = this.#entries[slot]
    if (entry !== undefined) Object.assign(entry, { step: this.#now, used: true })
    return slot
  }

  /** A slot for a key that has none: an empty one, or one whose key leaves; -1 if all are used in this step. */
  take(key: string): number {
    return this.#take(key, 2 * this.size, false)
  }

  /** The same, for a key that nobody has asked for yet: no slot that has its second chance loses it. */
  takeGently(key: string): number {
    return this.#take(key, this.size, true)
  }

  #take(key: string, mostTries: number, isGentle: boolean): number {
    const isFull = this.#slots.size === this.size
    for (let tries = 0; tries < mostTries; tries++) {
      const slot = this.#hand
      const entry = this.#entries[slot] as Entry
      this.#hand = (slot + 1) % this.size
      const mayGo = isFull && entry.step !== this.#now
      if (entry.key === null || (mayGo && !entry.used)) {
        if (entry.key !== null) this.#slots.delete(entry.key)
        Object.assign(entry, { key, step: this.#now, used: false })
        this.#slots.set(key, slot)
        return slot
      }
      if (mayGo && !isGentle) entry.used = false
    }
    return -1
  }

  drop(key: string): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    this.#slots.delete(key)
    ;(this.#entries[slot] as Entry).key = null
  }
}

export interface SlotShape {
  readonly headDim: number
  readonly unit: 'row' | 'block'
}

/** Bytes of so many slots of float16 rows, K and V, with their tables. */
export function slotBytes({ headDim, unit }: SlotShape, slots: number): number {
  const blocks = unit === 'block' ? slots : Math.ceil(slots / 16)
  return blocks * 2 * 16 * headDim * 2 + 12 * slots
}

/** The most slots within so many bytes; 0: not even one. */
export function slotsWithin(shape: SlotShape, bytes: number): number {
  let low = 0
  let high = Math.min(1e9, Math.floor(bytes / (2 * shape.headDim)))
  while (low < high) {
    const middle = low + Math.floor((high - low + 1) / 2)
    if (slotBytes(shape, middle) <= bytes) low = middle
    else high = middle - 1
  }
  return low
}
