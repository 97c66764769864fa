/** Repeatable numbers for tests: the same seed gives the same sequence on every machine. */
export interface Random {
  /** In [0, 1). */
  uniform(): number
  /** Integer in [0, end). */
  integer(end: number): number
  /** Mean 0, variance 1 (Box and Muller 1958). */
  normal(): number
  /** [length] of normal() * scale. */
  normals(length: number, scale?: number): Float32Array
}

/** Weyl sequence through a 32-bit finaliser (Steele et al. 2014, SplitMix). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const bits = () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
  const uniform = () => (bits() * 2 ** 21 + (bits() >>> 11)) / 2 ** 53
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return {
    uniform,
    integer: (end) => Math.floor(uniform() * end),
    normal,
    normals: (length, scale = 1) => Float32Array.from({ length }, () => normal() * scale),
  }
}
