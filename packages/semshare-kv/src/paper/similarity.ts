/** Rows of the embedding table, [ids.length][dim]. */
export type Embeddings = (ids: Int32Array) => Float32Array

/** Codes of token ids under random hyperplanes (Charikar 2002), each computed once. */
export class TokenCodes {
  readonly #bits: number
  readonly #seed: number
  readonly #codes = new Map<number, Int32Array>()
  #planes: Float32Array = new Float32Array(0)

  constructor(bits: number, seed: number) {
    this.#bits = bits
    this.#seed = seed
  }

  /** [bits / 32] words of each id. */
  of(ids: Iterable<number>, embeddings: Embeddings): Int32Array[] {
    const asked = Array.from(ids)
    const unknown = asked.filter((id) => !this.#codes.has(id))
    if (unknown.length > 0) this.#learn(Int32Array.from(unknown), embeddings)
    return asked.map((id) => this.#codes.get(id)!)
  }

  #learn(ids: Int32Array, embeddings: Embeddings): void {
    const rows = embeddings(ids)
    const dim = rows.length / ids.length
    if (this.#planes.length === 0) this.#planes = signPlanes(this.#bits * dim, this.#seed)
    ids.forEach((id, row) => {
      const code = new Int32Array(this.#bits / 32)
      for (let bit = 0; bit < this.#bits; bit++) {
        let sum = 0
        for (let i = 0; i < dim; i++) sum += this.#planes[bit * dim + i] * rows[row * dim + i]
        if (sum >= 0) code[bit >> 5] |= 1 << (bit & 31)
      }
      this.#codes.set(id, code)
    })
  }
}

/** Normals of planes with entries 1 and -1 at random (Achlioptas 2003). */
function signPlanes(length: number, seed: number): Float32Array {
  let state = Math.imul(seed + 1, 0x9e3779b9)
  return Float32Array.from({ length }, () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) & 1 ? 1 : -1
  })
}

/** Mean over the target's tokens of the Hamming distance to the nearest of the donor's; order plays no part. */
export function meanNearestDistance(
  target: Int32Array,
  donor: Int32Array,
  codes: TokenCodes,
  embeddings: Embeddings,
): number {
  const counts = new Map<number, number>()
  for (const id of target) counts.set(id, (counts.get(id) ?? 0) + 1)
  const held = new Set(donor)
  const missing = [...counts.keys()].filter((id) => !held.has(id))
  const donorCodes = codes.of(held, embeddings)
  let sum = 0
  codes.of(missing, embeddings).forEach((code, at) => {
    sum += counts.get(missing[at])! * nearestDistance(code, donorCodes)
  })
  return sum / target.length
}

function nearestDistance(code: Int32Array, among: readonly Int32Array[]): number {
  let least = Number.POSITIVE_INFINITY
  for (const other of among) {
    let distance = 0
    for (let word = 0; word < code.length; word++) distance += countBits(code[word] ^ other[word])
    if (distance < least) least = distance
  }
  return least
}

function countBits(word: number): number {
  let pairs = word - ((word >>> 1) & 0x55555555)
  pairs = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((pairs + (pairs >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** 1 at minDistance or nearer, 0 at maxDistance or farther. */
export function similarityOf(distance: number, minDistance: number, maxDistance: number): number {
  return Math.min(1, Math.max(0, 1 - (distance - minDistance) / (maxDistance - minDistance)))
}
