import { checkInteger, checkKeys, OptionError } from '@kvasir/core'
import type { GgufFile } from '../gguf/gguf-file.ts'
import { stringKey } from '../metadata.ts'
import { ModelError } from '../model-error.ts'
import { TextStream } from '../text-stream.ts'
import { byteAlphabet } from './byte-alphabet.ts'
import { type PieceEncoder, pieceEncoder } from './piece-encoder.ts'
import { type SpecialSplitter, specialSplitter } from './special-tokens.ts'
import type { DecodeOptions, EncodedText, EncodeOptions, Tokenizer } from './tokenizer.ts'
import { readVocabulary, type TokenKind, type Vocabulary } from './vocabulary.ts'

/**
 * The tokenizer that the metadata describes; null where the file says that it has none (`no_vocab`).
 * Throws ModelError for another kind than byte-level BPE, an unknown pre-tokenizer or a broken vocabulary.
 */
export function readTokenizer({ metadata }: Pick<GgufFile, 'metadata'>): Tokenizer | null {
  const model = stringKey(metadata, 'tokenizer.ggml.model', 'no_vocab')
  if (model === 'no_vocab' || model === 'none') return null
  if (model !== 'gpt2') {
    const remedy = 'Pass token ids instead of text.'
    throw new ModelError(
      'unsupported-tokenizer',
      'tokenizer.ggml.model',
      'gpt2 (byte-level BPE) or no_vocab',
      model,
      remedy,
    )
  }
  return new BpeTokenizer(readVocabulary(metadata))
}

class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly bosId: number | null
  readonly eosId: number | null
  readonly unknownId: number | null
  readonly paddingId: number | null
  readonly eosIds: readonly number[]
  readonly addsBos: boolean
  readonly missingBytes: readonly number[]
  readonly #vocabulary: Vocabulary
  readonly #encodePiece: PieceEncoder
  readonly #splitAll: SpecialSplitter
  readonly #splitUserDefined: SpecialSplitter
  readonly #byteOf = byteAlphabet().bytes

  constructor(vocabulary: Vocabulary) {
    this.vocabSize = vocabulary.tokens.length
    this.bosId = vocabulary.bosId
    this.eosId = vocabulary.eosId
    this.unknownId = vocabulary.unknownId
    this.paddingId = vocabulary.paddingId
    this.eosIds = vocabulary.eosIds
    this.addsBos = vocabulary.addsBos
    this.missingBytes = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => vocabulary.idOfByte[byte] < 0 && occursInUtf8(byte),
    )
    this.#vocabulary = vocabulary
    this.#encodePiece = pieceEncoder(vocabulary)
    this.#splitAll = specialSplitter(vocabulary, ['control', 'unknown', 'user-defined'])
    this.#splitUserDefined = specialSplitter(vocabulary, ['user-defined'])
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const ids: number[] = []
    this.#encode(text, options, (_, pieceIds) => {
      for (const id of pieceIds) ids.push(id)
    })
    return Int32Array.from(ids)
  }

  encodeWithOffsets(text: string, options: EncodeOptions = {}): EncodedText {
    const ids: number[] = []
    const starts: number[] = []
    this.#encode(text, options, (start, pieceIds, piece) => {
      for (const id of pieceIds) ids.push(id)
      if (pieceIds.length === 1) starts.push(start)
      else this.#pushStarts(starts, start, pieceIds, piece)
    })
    return { ids: Int32Array.from(ids), starts: Int32Array.from(starts) }
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = new TextStream(this, options)
    let text = ''
    for (const id of ids) text += stream.push(id)
    return text + stream.end()
  }

  tokenBytes(id: number): Uint8Array {
    const kind = this.tokenKind(id)
    const text = this.#vocabulary.tokens[id]
    const bytes = kind === 'normal' ? this.#spelledBytes(text) : null
    return bytes ?? new TextEncoder().encode(text)
  }

  tokenKind(id: number): TokenKind {
    checkInteger('id', id, 0, this.vocabSize - 1)
    return this.#vocabulary.kinds[id]
  }

  #encode(
    text: string,
    options: EncodeOptions,
    emit: (start: number, ids: readonly number[], piece: string) => void,
  ): void {
    if (typeof text !== 'string') throw new OptionError({ parameter: 'text', expected: 'a string', got: text })
    checkKeys('encode', options, ['specialTokens'])
    const wellFormed = replaceLoneSurrogates(text)
    const split = options.specialTokens === true ? this.#splitAll : this.#splitUserDefined
    const { pattern } = this.#vocabulary.pre
    for (const { start, end, id } of split(wellFormed)) {
      const stretch = wellFormed.slice(start, end)
      if (id !== null) {
        emit(start, [id], stretch)
        continue
      }
      for (const match of piecesOf(stretch, pattern)) emit(start + match.index, this.#encodePiece(match[0]), match[0])
    }
  }

  /** Walks the bytes of a piece of several tokens: each token takes as many as it spells, those without a token none. */
  #pushStarts(starts: number[], pieceStart: number, ids: readonly number[], piece: string): void {
    let token = 0
    let left = 0
    let offset = pieceStart
    for (const character of piece) {
      for (const byte of new TextEncoder().encode(character)) {
        if (this.#vocabulary.idOfByte[byte] < 0) continue
        if (left === 0) {
          starts.push(offset)
          left = this.#vocabulary.tokens[ids[token++]].length
        }
        left--
      }
      offset += character.length
    }
  }

  /** null where the text holds a character outside the byte alphabet. */
  #spelledBytes(text: string): Uint8Array | null {
    const bytes = new Uint8Array(text.length)
    for (let i = 0; i < text.length; i++) {
      const byte = this.#byteOf[text.charCodeAt(i)] ?? -1
      if (byte < 0) return null
      bytes[i] = byte
    }
    return bytes
  }
}

/** The expression engine runs out of stack on a run of about ten million letters without a break. */
function* piecesOf(text: string, pattern: RegExp): Iterable<RegExpExecArray> {
  try {
    yield* text.matchAll(pattern)
  } catch (cause) {
    const expected = `a space or punctuation at least every million characters (of ${text.length})`
    throw new OptionError({ parameter: 'text', expected, got: cause, cause })
  }
}

/** Bytes 0xc0, 0xc1 and 0xf5 and up occur in no well-formed UTF-8. */
function occursInUtf8(byte: number): boolean {
  return byte < 0xf5 && byte !== 0xc0 && byte !== 0xc1
}

/** Offsets stay: a lone surrogate and U+FFFD are one UTF-16 unit each. */
function replaceLoneSurrogates(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD')
}
