import { checkKeys } from '@kvasir/core'
import type { DecodeOptions, Tokenizer } from './tokenizer/tokenizer.ts'

/** Turns the token ids of one sequence into text piece by piece, as they are generated. Options as for `decode`. */
export class TextStream {
  readonly #tokenizer: Tokenizer
  readonly #specialTokens: boolean
  #utf8 = newDecoder()

  constructor(tokenizer: Tokenizer, options: DecodeOptions = {}) {
    checkKeys('decode', options, ['specialTokens'])
    this.#tokenizer = tokenizer
    this.#specialTokens = options.specialTokens ?? false
  }

  /**
   * The text that this token completes: possibly empty, never half a character. Bytes that cannot become a character any
   * more give U+FFFD. All pieces joined, with that of `end`, equal `decode` of all ids.
   */
  push(id: number): string {
    const kind = this.#tokenizer.tokenKind(id)
    if ((kind === 'control' || kind === 'unknown') && !this.#specialTokens) return ''
    return this.#utf8.decode(this.#tokenizer.tokenBytes(id), { stream: true })
  }

  /** The text of a token taken by itself: half a character gives U+FFFD. Changes nothing. */
  peek(id: number): string {
    return this.#tokenizer.decode([id], { specialTokens: this.#specialTokens })
  }

  /** What is left: U+FFFD for a character that never became whole, else nothing. The stream then starts afresh. */
  end(): string {
    return this.#utf8.decode()
  }

  /** Goes on as a stream that was given `ids` would, as after going back in a sequence. */
  resume(ids: readonly number[]): void {
    this.#utf8 = newDecoder()
    // The bytes of a character that is not whole yet are at most three, and a decoder finds its way from any byte on.
    for (const id of ids.slice(-maxTailTokens)) this.push(id)
  }
}

/** Three tokens of a byte, with room for some without text among them. */
const maxTailTokens = 8

/** Keeps U+FEFF, which a decoder would otherwise take for a byte order mark and drop. */
function newDecoder() {
  return new TextDecoder('utf-8', { ignoreBOM: true })
}
