/** Reproducible standard normal float32 numbers for tests. */
export function normals(count: number, seed: number): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0
  const uniform = () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    let x = state
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b)
    x ^= x >>> 16
    return ((x >>> 0) + 0.5) / 2 ** 32
  }
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  )
}

/** Reproducible keys [tokens][dim] that vary along few directions, as those of attention do. */
export function mixedNormals(tokens: number, dim: number, seed: number): Float32Array[] {
  const mixing = Array.from({ length: dim }, (_, i) => normals(dim, 77 * dim + i).map((x) => x / (1 + i)))
  return Array.from({ length: tokens }, (_, t) => {
    const sources = normals(dim, 10_000 * seed + t)
    return Float32Array.from({ length: dim }, (_, i) => mixing.reduce((sum, row, s) => sum + row[i]! * sources[s]!, 1))
  })
}
