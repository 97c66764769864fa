import { TokenSegmenter } from '@kvasir/segment'

/**
 * Where the sentences of a growing text end, in tokens. A text that does not end its sentence (a long number, a model
 * without text) is cut, so that fewer than 2 maxTokens tokens are ever open. What a token closes depends on it and the
 * tokens before it alone, so bounds are the same however the text is cut, and after a truncate.
 */
export class SentenceBounds {
  readonly #segmenter: TokenSegmenter
  readonly #maxTokens: number
  /** Ascending ends of closed sentences, and how many tokens had come when each was closed. */
  readonly #ends: number[]
  readonly #closedAt: number[]

  private constructor(segmenter: TokenSegmenter, maxTokens: number, ends: number[], closedAt: number[]) {
    this.#segmenter = segmenter
    this.#maxTokens = maxTokens
    this.#ends = ends
    this.#closedAt = closedAt
  }

  static open(minTokens: number, maxTokens: number): SentenceBounds {
    return new SentenceBounds(new TokenSegmenter({ minTokens, maxTokens }), maxTokens, [], [])
  }

  get numTokens(): number {
    return this.#segmenter.numTokens
  }

  /** Tokens in closed sentences. */
  get closedTokens(): number {
    return this.#ends.at(-1) ?? 0
  }

  /** Takes the next token, whose text is `piece`, and returns the ends of the sentences that it closes. */
  push(piece: string): number[] {
    const ends: number[] = []
    for (const { end } of this.#segmenter.push(piece)) {
      // Sentences that lie within a part that was cut off are closed already.
      if (end > this.closedTokens) ends.push(this.#close(end))
    }
    while (this.numTokens - this.closedTokens >= 2 * this.#maxTokens) {
      ends.push(this.#close(this.closedTokens + this.#maxTokens))
    }
    return ends
  }

  /** Goes back to the first numTokens tokens, as if the others had never come. */
  truncate(numTokens: number): void {
    this.#segmenter.truncate(numTokens)
    while ((this.#closedAt.at(-1) ?? 0) > numTokens) {
      this.#closedAt.pop()
      this.#ends.pop()
    }
  }

  clone(): SentenceBounds {
    return new SentenceBounds(this.#segmenter.clone(), this.#maxTokens, [...this.#ends], [...this.#closedAt])
  }

  #close(end: number): number {
    this.#ends.push(end)
    this.#closedAt.push(this.numTokens)
    return end
  }
}
