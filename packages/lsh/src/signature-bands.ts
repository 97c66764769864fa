import { mix } from './shingle-samples.ts'

/**
 * One tag for each band of bandBits bits of a signature, keyed by words of the scope's key: signatures that agree in a
 * whole band meet under its tag (Indyk and Motwani 1998). Bits that do not fill a band are left out.
 */
export function bandTags(signature: Uint32Array, key: Uint32Array, bandBits: number): Uint32Array {
  const numBands = Math.floor((32 * signature.length) / bandBits)
  return Uint32Array.from({ length: numBands }, (_, band) => bandTag(signature, key, bandBits, band))
}

/** The tag of one band. */
export function bandTag(signature: Uint32Array, key: Uint32Array, bandBits: number, band: number): number {
  let tag = mix(key[6] ^ band)
  for (let bit = band * bandBits; bit < (band + 1) * bandBits; ) {
    const taken = Math.min(32 - (bit % 32), (band + 1) * bandBits - bit)
    const bits = (signature[bit >>> 5] >>> (bit % 32)) & (2 ** taken - 1)
    tag = mix(tag ^ mix(bits ^ key[7]))
    bit += taken
  }
  return tag >>> 0
}

/** Bits in which two signatures of one length agree, over all. */
export function agreement(a: Uint32Array, b: Uint32Array): number {
  let different = 0
  for (let word = 0; word < a.length; word++) different += countBits(a[word] ^ b[word])
  return 1 - different / (32 * a.length)
}

export function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
