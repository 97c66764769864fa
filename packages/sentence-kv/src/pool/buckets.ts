/**
 * What one head may read, cut into sentences. Its entries count, in order, the prompt rows that it kept and every row
 * that came after the prompt.
 */
export interface Buckets {
  /** Kept rows of the prompt, ascending indices. */
  readonly rows: Int32Array
  /** Index of the first row after the prompt. */
  readonly promptEnd: number
  readonly headDim: number
  /** Entries [starts[i], ends[i]) are what sentence i can bring back. */
  readonly starts: number[]
  readonly ends: number[]
  /** [sentences][headDim] or more: mean key of each sentence, zeros for one that kept no row. */
  vectors: Float32Array
}

export function openBuckets(rows: Int32Array, promptEnd: number, headDim: number): Buckets {
  return { rows, promptEnd, headDim, starts: [], ends: [], vectors: new Float32Array(0) }
}

/**
 * The prompt as buckets: its sentences end at `sentenceEnds` (ascending, the last one at promptEnd). keys
 * [promptEnd][headDim] are rotated. A sentence brings back its first maxEntries entries at most, but its vector is the mean
 * of all that it kept.
 */
export function promptBuckets(
  rows: Int32Array,
  sentenceEnds: readonly number[],
  keys: Float32Array,
  headDim: number,
  maxEntries: number,
): Buckets {
  const buckets = openBuckets(rows, sentenceEnds.at(-1) ?? 0, headDim)
  buckets.vectors = new Float32Array(sentenceEnds.length * headDim)
  let entry = 0
  for (const sentenceEnd of sentenceEnds) {
    const start = entry
    while (entry < rows.length && rows[entry] < sentenceEnd) entry++
    addBucket(buckets, start, Math.min(entry, start + maxEntries), keys, rows.subarray(start, entry))
  }
  return buckets
}

/** Adds the sentence of entries [start, end); its vector is the mean of `rows` of keys [..][headDim]. */
export function addBucket(buckets: Buckets, start: number, end: number, keys: Float32Array, rows: Int32Array): void {
  const at = buckets.starts.length * buckets.headDim
  if (buckets.vectors.length < at + buckets.headDim) {
    const grown = new Float32Array(Math.max(64 * buckets.headDim, 2 * at))
    grown.set(buckets.vectors)
    buckets.vectors = grown
  }
  writeMean(buckets.vectors, at, keys, rows, buckets.headDim)
  buckets.starts.push(start)
  buckets.ends.push(end)
}

export function truncateBuckets(buckets: Buckets, numBuckets: number): void {
  buckets.starts.length = numBuckets
  buckets.ends.length = numBuckets
}

export function cloneBuckets(buckets: Buckets): Buckets {
  const { starts, ends, vectors } = buckets
  return { ...buckets, starts: [...starts], ends: [...ends], vectors: vectors.slice() }
}

/** Entries of a sequence of numTokens rows. */
export function countEntries({ rows, promptEnd }: Buckets, numTokens: number): number {
  return rows.length + numTokens - promptEnd
}

/** Index of the row that an entry stands for. */
export function indexOfEntry({ rows, promptEnd }: Buckets, entry: number): number {
  return entry < rows.length ? rows[entry] : promptEnd + entry - rows.length
}

/** Memory of rows, ranges and vectors. */
export function bytesOf({ rows, starts, headDim }: Buckets): number {
  return rows.byteLength + starts.length * (8 + 4 * headDim)
}

/** Writes at `at` the mean over `rows` of keys [..][headDim], summed in float64; zeros for no rows. */
function writeMean(vectors: Float32Array, at: number, keys: Float32Array, rows: Int32Array, headDim: number): void {
  for (let i = 0; i < headDim; i++) {
    let sum = 0
    for (let row = 0; row < rows.length; row++) sum += keys[rows[row] * headDim + i]
    vectors[at + i] = rows.length > 0 ? sum / rows.length : 0
  }
}
