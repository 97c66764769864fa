import { type Buckets, indexOfEntry } from './buckets.ts'

export interface Choice {
  /** Entries that are always read at the start and at the end. */
  readonly startEntries: number
  readonly recentEntries: number
  /** Entries after the start that no sentence can bring back. */
  readonly skippedEntries: number
  /** Most entries that sentences bring back. */
  readonly count: number
}

/**
 * Indices that a head reads, ascending: start and recent entries, and whole sentences in order of their vectors' dot
 * product with the query [headDim], the last one cut where the count is reached.
 */
export function chooseRows(buckets: Buckets, query: ArrayLike<number>, numEntries: number, choice: Choice): Int32Array {
  const start = Math.min(choice.startEntries, numEntries)
  const recent = Math.max(0, numEntries - choice.recentEntries)
  const first = choice.startEntries + choice.skippedEntries
  const read = new Uint8Array(numEntries).fill(1, 0, start).fill(1, recent)
  let left = choice.count
  for (const bucket of rankBuckets(buckets, query)) {
    if (left === 0) break
    const end = Math.min(buckets.ends[bucket], recent)
    for (let entry = Math.max(buckets.starts[bucket], first); entry < end && left > 0; entry++) {
      read[entry] = 1
      left--
    }
  }
  return indicesRead(buckets, read)
}

/** Buckets that hold entries, by falling score; of equal scores the earlier first. */
function rankBuckets(buckets: Buckets, query: ArrayLike<number>): Float64Array {
  const { starts, ends, vectors, headDim } = buckets
  const keys = new Float64Array(starts.length)
  let filled = 0
  for (let bucket = 0; bucket < starts.length; bucket++) {
    if (ends[bucket] <= starts[bucket]) continue
    let score = 0
    for (let i = 0, at = bucket * headDim; i < headDim; i++) score += query[i] * vectors[at + i]
    keys[filled++] = (2 ** 32 - 1 - orderedBits(score)) * bucketRange + bucket
  }
  // One number holds the rank of the score and the bucket: sorting needs no comparisons in JavaScript.
  const ranked = keys.subarray(0, filled).sort()
  for (let at = 0; at < filled; at++) ranked[at] %= bucketRange
  return ranked
}

const bucketRange = 2 ** 21
const asFloat = new Float32Array(1)
const asBits = new Uint32Array(asFloat.buffer)

/** A 32-bit integer that orders as the value does in float32. */
function orderedBits(value: number): number {
  asFloat[0] = value + 0
  return (asBits[0] ^ (asBits[0] >>> 31 ? 0xffffffff : 0x80000000)) >>> 0
}

function indicesRead(buckets: Buckets, read: Uint8Array): Int32Array {
  const indices = new Int32Array(read.length)
  let count = 0
  for (let entry = 0; entry < read.length; entry++) {
    if (read[entry]) indices[count++] = indexOfEntry(buckets, entry)
  }
  return indices.subarray(0, count)
}
