/** An orthonormal basis that nearly diagonalises a symmetric matrix. */
export interface SweptBasis {
  /** [size][size] row c is a vector of the basis */
  readonly vectors: readonly Float64Array[]
  /** [size] diagonal of the matrix in that basis */
  readonly diagonal: Float64Array
}

/**
 * One cyclic sweep of Jacobi's rotations over a symmetric matrix [size][size], in float64: rows p < q in order, each
 * rotation the one of at most 45 degrees that makes the entry (p, q) 0.
 */
export function jacobiSweep(matrix: readonly Float64Array[]): SweptBasis {
  const size = matrix.length
  const a = matrix.map((row) => row.slice())
  const vectors = matrix.map((_, c) => Float64Array.from({ length: size }, (_, i) => (i === c ? 1 : 0)))
  for (let p = 0; p < size - 1; p++) {
    for (let q = p + 1; q < size; q++) {
      const apq = a[p]![q]!
      if (apq === 0) continue
      const theta = (a[q]![q]! - a[p]![p]!) / (2 * apq)
      const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
      const c = 1 / Math.sqrt(t * t + 1)
      const s = t * c
      rotate(a[p]!, a[q]!, c, s)
      for (const row of a) {
        const [x, y] = [row[p]!, row[q]!]
        row[p] = c * x - s * y
        row[q] = s * x + c * y
      }
      // Rounding must not make the two differ: nearly 0.
      a[q]![p] = a[p]![q]!
      rotate(vectors[p]!, vectors[q]!, c, s)
    }
  }
  return { vectors, diagonal: Float64Array.from(a, (row, c) => row[c]!) }
}

function rotate(first: Float64Array, second: Float64Array, c: number, s: number): void {
  for (let k = 0; k < first.length; k++) {
    const [x, y] = [first[k]!, second[k]!]
    first[k] = c * x - s * y
    second[k] = s * x + c * y
  }
}
