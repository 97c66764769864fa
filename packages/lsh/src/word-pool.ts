/** Lists of 32-bit words of various lengths in one large array: 100,000 arrays of their own would cost 20 MB of headers. */
export interface WordPool {
  /** Room for `length` words, of any content; where it starts in `words`. */
  take(length: number): number
  free(place: number, length: number): void
  /** All rooms; another array after a `take`. */
  readonly words: Uint32Array
}

/** Room is given in steps of an eighth of a power of two, so that few words are wasted and freed rooms fit again. */
export function createWordPool(): WordPool {
  let words = new Uint32Array(256)
  let end = 0
  const freed = new Map<number, number[]>()
  return {
    take: (length) => {
      const room = roomFor(length)
      const again = freed.get(room)?.pop()
      if (again !== undefined) return again
      const place = end
      end += room
      if (end > words.length) {
        const grown = new Uint32Array(Math.max(end, Math.ceil(words.length * 1.25)))
        grown.set(words)
        words = grown
      }
      return place
    },
    free: (place, length) => {
      const room = roomFor(length)
      const places = freed.get(room)
      if (places === undefined) freed.set(room, [place])
      else places.push(place)
    },
    get words() {
      return words
    },
  }
}

function roomFor(length: number): number {
  const step = 2 ** Math.max(0, 29 - Math.clz32(length))
  return Math.max(1, Math.ceil(length / step) * step)
}
