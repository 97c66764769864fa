/** Numbers in [0, 1) with 53 random bits; the same seed gives the same numbers on every machine. */
export type RandomSource = () => number

/** xoshiro128** (Blackman and Vigna 2018), its state filled from the seed by splitmix32. `seed` is a safe integer >= 0. */
export function randomSource(seed: number): RandomSource {
  const low = splitmix32(seed % 2 ** 32)
  const high = splitmix32(Math.floor(seed / 2 ** 32) ^ 0x6a09e667)
  let a = low()
  let b = high()
  let c = low()
  let d = high() | 1

  const next = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return result
  }
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function splitmix32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return mixed ^ (mixed >>> 15)
  }
}
