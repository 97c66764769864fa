import { checkInteger, checkKeys, checkNumber, checkOneOf, OptionError, type Scope } from '@kvasir/core'
import type { CodeTable, HashPlanes, Kernels } from '@kvasir/kernels'
import { deriveKey } from './derive-key.ts'
import { drawOffsets, drawPlanes } from './planes.ts'

export interface HasherOptions {
  /** What hashes, searches and ranks. Required. */
  readonly kernels: Kernels
  /** At least 16 bytes, kept as long as any code of the hasher. Required. */
  readonly secret: Uint8Array
  /** Whose vectors are hashed; each scope has planes of its own. Required. */
  readonly scope: Scope
  /** Values a vector. Required. */
  readonly dim: number
  /**
   * hyperplane: the side of random planes, a bit a hash, Hamming distance (Charikar 2002); p-stable: the cell along random
   * lines, a byte a hash, L1 distance (Datar et al. 2004).
   * @default 'hyperplane'
   */
  readonly family?: 'hyperplane' | 'p-stable'
  /** A multiple of 64, at most 4096. @default 256 */
  readonly numHashes?: number
  /** Width of a cell of `p-stable`; vectors that are that far apart often fall in neighbouring ones. @default 4 */
  readonly width?: number
  /** Another number gives unrelated planes. @default 0 */
  readonly rotation?: number
}

/** Codes of vectors under the planes of one scope and rotation. Codes of different hashers must not be compared. */
export interface Hasher {
  readonly kernels: Kernels
  readonly dim: number
  readonly numHashes: number
  readonly family: 'hyperplane' | 'p-stable'
  readonly codeBytes: number
  /** vectors [rows][dim] to [rows][codeBytes], off the calling thread. */
  codes(vectors: Float32Array, signal?: AbortSignal): Promise<Uint8Array>
  /** Products with the planes, [rows][numHashes]: near 0 where a bit of a code might as well be the other one. */
  products(vectors: Float32Array, signal?: AbortSignal): Promise<Float32Array>
  /** Codes to search in by the distance of the family. */
  table(codes: Uint8Array): CodeTable
  dispose(): void
}

/** Draws the planes and packs them. Throws OptionError and ScopeError. */
export function createHasher(options: HasherOptions): Hasher {
  const { kernels, dim, numHashes, family, planes } = resolve(options)
  const { codeBytes } = planes
  return {
    kernels,
    dim,
    numHashes,
    family,
    codeBytes,
    codes: (vectors, signal) => planes.codes(vectors, signal),
    products: (vectors, signal) => planes.products(vectors, signal),
    table: (codes) =>
      kernels.createCodeTable({ codes, codeBytes, distance: family === 'hyperplane' ? 'hamming' : 'l1' }),
    dispose: () => planes.dispose(),
  }
}

function resolve(options: HasherOptions) {
  const names = ['kernels', 'secret', 'scope', 'dim', 'family', 'numHashes', 'width', 'rotation']
  checkKeys('createHasher', options, names)
  const { kernels, secret, scope, rotation = 0 } = options
  const dim = checkInteger('dim', options.dim, 1, 2 ** 20)
  const numHashes = checkInteger('numHashes', options.numHashes ?? 256, 64, 4096)
  const family = checkOneOf('family', options.family ?? 'hyperplane', ['hyperplane', 'p-stable'] as const)
  if (family === 'hyperplane' && options.width !== undefined) {
    throw new OptionError({ parameter: 'width', expected: 'family p-stable beside it', got: options.width })
  }
  const width = checkNumber('width', options.width ?? 4, 1e-9, 1e9)
  const key = deriveKey(secret, { scope, use: `planes ${family}`, rotation })
  const cells = family === 'p-stable' ? { offsets: drawOffsets(key, numHashes, width), width } : {}
  const planes: HashPlanes = kernels.createHashPlanes({
    planes: drawPlanes(key, numHashes, dim),
    numHashes,
    dim,
    ...cells,
  })
  return { kernels, dim, numHashes, family, planes }
}
