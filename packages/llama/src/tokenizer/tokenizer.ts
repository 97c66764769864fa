import type { TokenKind } from './vocabulary.ts'

export interface EncodeOptions {
  /**
   * Recognise control tokens spelled in the text, as in a rendered chat template. Off, a user's `<|im_end|>` is just
   * characters. User-defined tokens are recognised either way.
   * @default false
   */
  readonly specialTokens?: boolean
}

export interface DecodeOptions {
  /**
   * Spell out control and unknown tokens; off, they give no text.
   * @default false
   */
  readonly specialTokens?: boolean
}

export interface EncodedText {
  /** [token] */
  readonly ids: Int32Array
  /**
   * [token] -> UTF-16 offset in the text where the token starts. A token that starts inside a character (a character may
   * take several tokens) has the offset of that character.
   */
  readonly starts: Int32Array
}

/**
 * The byte-level BPE tokenizer of a model file. Texts are not normalised. Lone surrogates are read as U+FFFD. A byte that
 * the vocabulary has no token for (`missingBytes`) is dropped, as other implementations do; any other well-formed text
 * comes back from `decode(encode(text))` unchanged. Never adds a beginning-of-sequence token: `addsBos` says whether the
 * model wants `bosId` in front.
 */
export interface Tokenizer {
  readonly vocabSize: number
  readonly bosId: number | null
  readonly eosId: number | null
  readonly unknownId: number | null
  readonly paddingId: number | null
  /** Every token that ends generation, ascending. */
  readonly eosIds: readonly number[]
  readonly addsBos: boolean
  /** Bytes of well-formed UTF-8 without a token, ascending. Empty for most models. */
  readonly missingBytes: readonly number[]
  /** Throws OptionError for anything but a string. */
  encode(text: string, options?: EncodeOptions): Int32Array
  encodeWithOffsets(text: string, options?: EncodeOptions): EncodedText
  /** Invalid UTF-8 becomes U+FFFD. Throws OptionError for an id outside [0, vocabSize). */
  decode(ids: Iterable<number>, options?: DecodeOptions): string
  /** The bytes that a token stands for; those of its own text for tokens that are not normal. */
  tokenBytes(id: number): Uint8Array
  tokenKind(id: number): TokenKind
}
