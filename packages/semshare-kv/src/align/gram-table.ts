/** Hashes of the grams of `tokens` that start at each row: [max(0, tokens.length - gramTokens + 1)]. */
export type GramHashes = (tokens: Int32Array, gramTokens: number) => Uint32Array

/** Polynomial rolling hash modulo 2^32 (Karp and Rabin 1987), its bits mixed at the end. */
export function rollingHashes(tokens: Int32Array, gramTokens: number): Uint32Array {
  const hashes = new Uint32Array(Math.max(0, tokens.length - gramTokens + 1))
  let leaving = 1
  for (let i = 1; i < gramTokens; i++) leaving = Math.imul(leaving, base)
  let hash = 0
  for (let i = 0; i < tokens.length; i++) {
    if (i >= gramTokens) hash = (hash - Math.imul(leaving, tokens[i - gramTokens] + 1)) | 0
    hash = (Math.imul(hash, base) + tokens[i] + 1) | 0
    if (i + 1 >= gramTokens) hashes[i + 1 - gramTokens] = mix(hash)
  }
  return hashes
}

const base = 0x01000193

/** MurmurHash3's 32-bit finaliser. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** Where the grams of one token list stand: chains of rows of equal buckets, lower rows first. */
export interface GramTable {
  readonly tokens: Int32Array
  readonly hashes: Uint32Array
  /** [a power of two]: first row of each bucket, or -1. */
  readonly first: Int32Array
  /** [hashes.length]: next row of the same bucket, or -1. */
  readonly next: Int32Array
}

export function gramTable(tokens: Int32Array, gramTokens: number, gramHashes: GramHashes = rollingHashes): GramTable {
  const hashes = gramHashes(tokens, gramTokens)
  const first = new Int32Array(2 ** Math.ceil(Math.log2(2 * hashes.length + 2))).fill(-1)
  const next = new Int32Array(hashes.length)
  for (let row = hashes.length - 1; row >= 0; row--) {
    const bucket = hashes[row] & (first.length - 1)
    next[row] = first[bucket]
    first[bucket] = row
  }
  return { tokens, hashes, first, next }
}
