/** Lists of 32-bit words of various lengths in few large arrays: 100,000 arrays of their own would cost 20 MB of headers. */
export interface WordPool {
  /** Copies `words` in; where they stand. */
  put(words: Uint32Array): number
  /** The words put at `place`; good until the next `put`. */
  get(place: number, length: number): Uint32Array
  free(place: number, length: number): void
  readonly numBytes: number
}

/** Room is given in steps of an eighth of a power of two, so that at most one word in nine is wasted. */
export function createWordPool(): WordPool {
  let words = new Uint32Array(1024)
  let end = 0
  const freed = new Map<number, number[]>()
  return {
    put: (list) => {
      const room = roomFor(list.length)
      const again = freed.get(room)?.pop()
      const place = again ?? end
      if (again === undefined) {
        end += room
        if (end > words.length) {
          const grown = new Uint32Array(Math.max(end, Math.ceil(words.length * 1.25)))
          grown.set(words)
          words = grown
        }
      }
      words.set(list, place)
      return place
    },
    get: (place, length) => words.subarray(place, place + length),
    free: (place, length) => {
      const room = roomFor(length)
      const places = freed.get(room)
      if (places === undefined) freed.set(room, [place])
      else places.push(place)
    },
    get numBytes() {
      return words.byteLength
    },
  }
}

function roomFor(length: number): number {
  const step = 2 ** Math.max(0, 29 - Math.clz32(length))
  return Math.max(1, Math.ceil(length / step) * step)
}
