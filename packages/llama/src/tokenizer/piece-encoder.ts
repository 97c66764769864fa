import { byteAlphabet } from './byte-alphabet.ts'
import { mergeSymbols } from './merge.ts'
import type { Vocabulary } from './vocabulary.ts'

/**
 * Only short pieces are kept: V8 copies substrings below 13 characters, while a longer one, as a key, would hold the
 * whole text it was cut from in memory.
 */
const MAX_CACHED_CHARS = 12
const MAX_CACHED_PIECES = 65_536

/** Token ids of one piece of pre-tokenized, well-formed text. */
export type PieceEncoder = (piece: string) => readonly number[]

/** A piece encoder that remembers short pieces. Bytes that the vocabulary has no token for are dropped. */
export function pieceEncoder(vocabulary: Vocabulary): PieceEncoder {
  const { characters } = byteAlphabet()
  const cache = new Map<string, readonly number[]>()
  const utf8 = new TextEncoder()

  const encode = (piece: string): readonly number[] => {
    const bytes = utf8.encode(piece)
    if (vocabulary.pre.ignoreMerges) {
      const whole = vocabulary.index.find(Array.from(bytes, (byte) => characters[byte]).join(''))
      if (whole >= 0 && vocabulary.kinds[whole] === 'normal') return [whole]
    }
    return mergeSymbols(
      Int32Array.from(bytes, (byte) => vocabulary.idOfByte[byte]),
      vocabulary.merges,
    )
  }

  return (piece) => {
    if (piece.length > MAX_CACHED_CHARS) return encode(piece)
    const known = cache.get(piece)
    if (known !== undefined) return known
    const ids = encode(piece)
    if (cache.size >= MAX_CACHED_PIECES) cache.clear()
    cache.set(piece, ids)
    return ids
  }
}
