import { clauseEnds, TokenSegmenter } from '@kvasir/segment'

/**
 * Where the sentences of a growing text end, in tokens. A text that does not end its sentence (a long number, a model
 * without text) is cut, so that fewer than 2 maxTokens tokens are ever open. What a token closes depends on it and the
 * tokens before it alone, so bounds are the same however the text is cut, and after a truncate.
 */
export class SentenceBounds {
  readonly #segmenter: TokenSegmenter
  readonly #maxTokens: number
  /** Most tokens of a piece of a sentence, and the text of each token; null where sentences stay whole. */
  readonly #cut: { readonly pieceTokens: number; readonly pieces: string[] } | null
  /** Ascending ends of closed sentences, and how many tokens had come when each was closed. */
  readonly #ends: number[]
  readonly #closedAt: number[]

  private constructor(
    segmenter: TokenSegmenter,
    maxTokens: number,
    cut: { readonly pieceTokens: number; readonly pieces: string[] } | null,
    ends: number[],
    closedAt: number[],
  ) {
    this.#segmenter = segmenter
    this.#maxTokens = maxTokens
    this.#cut = cut
    this.#ends = ends
    this.#closedAt = closedAt
  }

  /** With pieceTokens, closed sentences come in pieces of at most so many tokens, cut at clause marks. */
  static open(minTokens: number, maxTokens: number, pieceTokens: number | null = null): SentenceBounds {
    const cut = pieceTokens === null ? null : { pieceTokens, pieces: [] }
    return new SentenceBounds(new TokenSegmenter({ minTokens, maxTokens }), maxTokens, cut, [], [])
  }

  get numTokens(): number {
    return this.#segmenter.numTokens
  }

  /** Tokens in closed sentences. */
  get closedTokens(): number {
    return this.#ends.at(-1) ?? 0
  }

  /** Takes the next token, whose text is `piece`, and returns the ends of the sentences (or their pieces) that it closes. */
  push(piece: string): number[] {
    const ends: number[] = []
    this.#cut?.pieces.push(piece)
    for (const { end } of this.#segmenter.push(piece)) {
      // Sentences that lie within a part that was cut off are closed already.
      if (end > this.closedTokens) ends.push(...this.#close(end))
    }
    while (this.numTokens - this.closedTokens >= 2 * this.#maxTokens) {
      ends.push(...this.#close(this.closedTokens + this.#maxTokens))
    }
    return ends
  }

  /** Goes back to the first numTokens tokens, as if the others had never come. */
  truncate(numTokens: number): void {
    this.#segmenter.truncate(numTokens)
    if (this.#cut) this.#cut.pieces.length = numTokens
    while ((this.#closedAt.at(-1) ?? 0) > numTokens) {
      this.#closedAt.pop()
      this.#ends.pop()
    }
  }

  clone(): SentenceBounds {
    const cut = this.#cut && { ...this.#cut, pieces: [...this.#cut.pieces] }
    return new SentenceBounds(this.#segmenter.clone(), this.#maxTokens, cut, [...this.#ends], [...this.#closedAt])
  }

  #close(end: number): number[] {
    const start = this.closedTokens
    this.#ends.push(end)
    this.#closedAt.push(this.numTokens)
    if (this.#cut === null) return [end]
    return clauseEnds(this.#cut.pieces.slice(start, end), this.#cut.pieceTokens).map((at) => start + at)
  }
}
