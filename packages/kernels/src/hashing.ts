/** Planes of one family of hashes; without `offsets` codes are signs. */
export interface HashPlanesOptions {
  /** [numHashes][dim], copied. Required. */
  readonly planes: Float32Array
  /** A multiple of 64, at most 4096. Required. */
  readonly numHashes: number
  /** Required. */
  readonly dim: number
  /** [numHashes], added before the cut into cells. @default none: codes are signs */
  readonly offsets?: Float32Array
  /** Width of a cell; needs `offsets`. @default 1 */
  readonly width?: number
}

/**
 * Hashes vectors off the calling thread. Codes of signs have a bit a hash, [x.r >= 0], hash 0 the lowest of the first byte
 * (Charikar 2002); with offsets a code has a byte a hash, 128 + floor((x.r + o) / width) held to [0, 255] (Datar et al. 2004).
 * Compiled levels add the products of a row in the same order and differ in no bit.
 */
export interface HashPlanes {
  readonly numHashes: number
  readonly dim: number
  readonly codeBytes: number
  /** x [rows][dim] to [rows][codeBytes]. Rejects with the signal's reason once aborted. */
  codes(x: Float32Array, signal?: AbortSignal): Promise<Uint8Array>
  /** The products themselves, float32 [rows][numHashes]. */
  products(x: Float32Array, signal?: AbortSignal): Promise<Float32Array>
  dispose(): void
}

export interface CodeTableOptions {
  /** [rows][codeBytes], copied. Required. */
  readonly codes: Uint8Array
  /** A multiple of 8, at most 4096. Required. */
  readonly codeBytes: number
  /** hamming: bits that differ; l1: sum of the absolute differences of bytes. @default 'hamming' */
  readonly distance?: 'hamming' | 'l1'
}

export interface NearestOptions {
  /** Rows a query, 1 to 256. @default 1 */
  readonly count?: number
  /** What is farther is not found. @default no limit */
  readonly maxDistance?: number
  readonly signal?: AbortSignal
}

/** [queries][count], nearest first, of equal distances the lower index first; -1 in both where there are fewer. */
export interface NearestCodes {
  readonly indices: Int32Array
  readonly distances: Int32Array
}

/** Codes that do not change. */
export interface CodeTable {
  readonly numRows: number
  readonly codeBytes: number
  readonly distance: 'hamming' | 'l1'
  /** Exact, off the calling thread; queries [queries][codeBytes] must not change before the promise settles. */
  nearest(queries: Uint8Array, options?: NearestOptions): Promise<NearestCodes>
  dispose(): void
}

export interface RankOptions {
  /** cosine: larger is nearer, 0 for a vector of zeros; l2: squared distance. @default 'cosine' */
  readonly metric?: 'cosine' | 'l2'
  /** Required. */
  readonly dim: number
  /** [queries][dim]; it and `rows` must not change before the promise settles. Required. */
  readonly queries: Float32Array
  /** [.][dim]. Required. */
  readonly rows: Float32Array
  /** [queries][candidates of each], indices of rows; negative ones are passed over. Required. */
  readonly candidates: Int32Array
  /** What is farther is not taken. @default none */
  readonly threshold?: number
  readonly signal?: AbortSignal
}

/** A query's best candidate, of equal ones the lower index, and its value; -1 and NaN where none is near enough. */
export interface RankedRows {
  readonly indices: Int32Array
  readonly values: Float32Array
}
