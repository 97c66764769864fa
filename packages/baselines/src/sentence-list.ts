import type { Span } from '@kvasir/core'
import { type SegmentOptions, TokenSegmenter } from '@kvasir/segment'

/** The sentences of a growing text, in tokens. */
export class SentenceList {
  readonly #segmenter: TokenSegmenter
  readonly #closed: Span[]

  private constructor(segmenter: TokenSegmenter, closed: Span[]) {
    this.#segmenter = segmenter
    this.#closed = closed
  }

  static open(options: SegmentOptions = {}): SentenceList {
    return new SentenceList(new TokenSegmenter(options), [])
  }

  push(piece: string): void {
    this.#closed.push(...this.#segmenter.push(piece))
  }

  /** Spans that follow each other and together are [0, numTokens): the closed sentences, and the open one. */
  spans(numTokens: number): Span[] {
    return [...this.#closed, { start: this.#segmenter.open.start, end: numTokens }]
  }

  clone(): SentenceList {
    return new SentenceList(this.#segmenter.clone(), [...this.#closed])
  }

  truncate(numTokens: number): void {
    this.#segmenter.truncate(numTokens)
    // Going back can reopen a sentence whose end was proved by a token that is gone.
    while ((this.#closed.at(-1)?.end ?? 0) > this.#segmenter.open.start) this.#closed.pop()
  }
}
