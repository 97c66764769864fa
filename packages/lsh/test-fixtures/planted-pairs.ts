import type { Scope } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'

export const scope: Scope = { tenant: 'a', group: 'b', model: 'm', layout: 'l', policy: 'p' }
export const secret = new Uint8Array(32).fill(9)

/** count pairs of unit vectors [count][dim] in random directions, each pair of this cosine. */
export function plantedPairs(seed: number, count: number, dim: number, cosine: number) {
  const random = seededRandom(seed)
  const left = new Float32Array(count * dim)
  const right = new Float32Array(count * dim)
  for (let pair = 0; pair < count; pair++) {
    const a = unit(random.normals(dim))
    const other = random.normals(dim)
    const along = dot(a, other)
    const b = unit(other.map((value, i) => value - along * (a[i] as number)))
    const sine = Math.sqrt(1 - cosine * cosine)
    left.set(a, pair * dim)
    right.set(
      a.map((value, i) => cosine * value + sine * (b[i] as number)),
      pair * dim,
    )
  }
  return { left, right }
}

/** Of random planes, the share that leaves two vectors of this cosine on one side (Charikar 2002). */
export function equalBits(cosine: number): number {
  return 1 - Math.acos(cosine) / Math.PI
}

/** Probability of exactly k of n. */
export function binomial(n: number, k: number, p: number): number {
  let log = 0
  for (let i = 0; i < k; i++) log += Math.log(((n - i) / (i + 1)) * p)
  return Math.exp(log + (n - k) * Math.log1p(-p))
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector))
  return vector.map((value) => value / length)
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)
}
