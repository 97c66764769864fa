/**
 * The alphabet in which byte-level BPE vocabularies spell bytes (Radford et al. 2019): printable Latin-1 characters stand
 * for themselves, the other 68 bytes for U+0100 and up, in order. So a space is U+0120.
 */
export interface ByteAlphabet {
  /** [byte] -> character. */
  readonly characters: readonly string[]
  /** Character code -> byte; -1 where the code is not in the alphabet. [324] */
  readonly bytes: Int16Array
}

const ALPHABET_CODES = 256 + 68

/** Builds both directions. */
export function byteAlphabet(): ByteAlphabet {
  const bytes = new Int16Array(ALPHABET_CODES).fill(-1)
  let next = 256
  const characters = Array.from({ length: 256 }, (_, byte) => {
    const code = isPrintable(byte) ? byte : next++
    bytes[code] = byte
    return String.fromCharCode(code)
  })
  return { characters, bytes }
}

function isPrintable(byte: number): boolean {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
}
