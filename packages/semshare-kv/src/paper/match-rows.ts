import { createHash } from 'node:crypto'
import type { Scope } from '@kvasir/core'
import type { Kernels } from '@kvasir/kernels'
import { createHasher, nearestVectors } from '@kvasir/lsh'

/** For each row of `queries` the index of the row of `rows` that is nearest to it by cosine; both [n][dim]. */
export type NearestRows = (
  queries: Float32Array,
  rows: Float32Array,
  dim: number,
  signal?: AbortSignal,
) => Int32Array | Promise<Int32Array>

/** The nearest by cosine among those of the nearest hyperplane codes, the same ones for a seed; off the calling thread. */
export function nearestByCodes(kernels: Kernels, scope: Scope, seed: number): NearestRows {
  // Nobody sees these codes, so that a seed may be their key.
  const secret = createHash('sha256').update(`rows ${seed}`).digest()
  return async (queries, rows, dim, signal) => {
    const hasher = createHasher({ kernels, secret, scope, dim })
    try {
      return (await nearestVectors({ hasher, queries, rows, ...(signal && { signal }) })).indices
    } finally {
      hasher.dispose()
    }
  }
}

/**
 * Turns each row of x [rows][dim], in place, by its index: values k and k + dim / 2 by index * theta^(-2k / dim), over the
 * whole vector.
 */
export function turnByIndex(x: Float32Array, dim: number, theta: number): void {
  const half = dim >> 1
  const angles = Float64Array.from({ length: half }, (_, k) => theta ** ((-2 * k) / dim))
  for (let row = 0; row * dim < x.length; row++) {
    for (let k = 0; k < half; k++) {
      const [cos, sin] = [Math.cos(row * angles[k]), Math.sin(row * angles[k])]
      const at = row * dim + k
      const [a, b] = [x[at], x[at + half]]
      x[at] = a * cos - b * sin
      x[at + half] = a * sin + b * cos
    }
  }
}

/** For each row of `queries` the row of `rows` with the largest cosine to it, of equal ones the first; both [n][dim]. */
export function nearestRows(queries: Float32Array, rows: Float32Array, dim: number): Int32Array {
  const units = unitRows(rows, dim)
  const numRows = rows.length / dim
  return Int32Array.from({ length: queries.length / dim }, (_, query) => {
    const asked = queries.subarray(query * dim, (query + 1) * dim)
    let [best, most] = [0, Number.NEGATIVE_INFINITY]
    for (let row = 0; row < numRows; row++) {
      let sum = 0
      for (let i = 0, at = row * dim; i < dim; i++, at++) sum += asked[i] * units[at]
      if (sum > most) [best, most] = [row, sum]
    }
    return best
  })
}

function unitRows(x: Float32Array, dim: number): Float32Array {
  const units = x.slice()
  for (let start = 0; start < x.length; start += dim) {
    const row = units.subarray(start, start + dim)
    const norm = Math.hypot(...row) || 1
    for (let i = 0; i < dim; i++) row[i] /= norm
  }
  return units
}
