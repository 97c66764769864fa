import { checkInteger, DisposedError, OptionError, type Segment, type Span } from '@kvasir/core'
import { type Joint, jointBetween, jointWithin } from './joints.ts'
import { SegmentCutter } from './segment-cutter.ts'
import { resolveSegmentOptions, type SegmentOptions } from './segment-options.ts'
import { anchorOf } from './segment-tokens.ts'
import { type ClosedSentence, SentenceStream } from './sentence-stream.ts'

/** All that decides what happens to the next token, but for the tokens themselves. */
interface State {
  readonly stream: SentenceStream
  readonly cutter: SegmentCutter
  /** Tokens that are in closed sentences. */
  sentenceTokens: number
  /** Length of the text so far, in UTF-16 units. */
  textLength: number
}

/** Tokens between two saved states; a rewind replays fewer than this many. */
const saveEvery = 256

/**
 * Cuts a token sequence into segments while it arrives, e.g. while a model writes it. Segments close as soon as the tokens after them
 * prove their end and are those of `segmentTokens` on the whole. Tokens that are in no closed segment are in `open`.
 * Keeps the text of each token, so that `truncate` can go back anywhere.
 */
export class TokenSegmenter {
  readonly #options: Required<SegmentOptions>
  #state: State
  /** `#saved[i]` is the state before token i * saveEvery. */
  #saved: State[]
  /** Text of each token. */
  #pieces: string[] = []
  /** The offset that places each token, in order; missing for trailing tokens without text. */
  #anchors: number[] = []
  #hasEnded = false

  constructor(options: SegmentOptions = {}) {
    this.#options = resolveSegmentOptions(options)
    const { minTokens, maxTokens, ...sentenceOptions } = this.#options
    const cutter = new SegmentCutter(minTokens, maxTokens)
    this.#state = { stream: new SentenceStream(sentenceOptions), cutter, sentenceTokens: 0, textLength: 0 }
    this.#saved = [cloneState(this.#state)]
  }

  get numTokens(): number {
    return this.#pieces.length
  }

  /** How many segments are closed: the id of the next one. */
  get numClosed(): number {
    return this.#state.cutter.numClosed
  }

  /** The tokens that are in no closed segment yet. */
  get open(): Span {
    return { start: this.#state.cutter.start, end: this.#pieces.length }
  }

  /**
   * Takes the next `numTokens` tokens, whose text together is `text`, and returns the segments that they close. Tokens whose
   * text is not known one by one stay together; "" is right for a token that holds part of a character or has no text.
   */
  push(text: string, numTokens = 1): Segment[] {
    this.#refuseEnded('push')
    if (typeof text !== 'string') throw new OptionError({ parameter: 'text', expected: 'a string', got: text })
    checkInteger('numTokens', numTokens, 1)
    const closed: Segment[] = []
    for (let token = 1; token < numTokens; token++) this.#take('', closed)
    this.#take(text, closed)
    return closed
  }

  /** Takes one token for each of `pieces` and returns the segments that they close. */
  append(pieces: readonly string[]): Segment[] {
    return pieces.flatMap((piece) => this.push(piece))
  }

  /** Says that no token follows and returns the segments that were still open. */
  end(): Segment[] {
    this.#refuseEnded('end')
    this.#hasEnded = true
    const { stream, cutter, textLength } = this.#state
    const numTokens = this.#pieces.length
    const closed: Segment[] = []
    while (this.#anchors.length < numTokens) this.#anchors.push(textLength)
    for (const sentence of stream.end()) this.#closeSentence(sentence, sentence.end === textLength, closed)
    cutter.grow(numTokens, 'prose', this.#joints([]), closed)
    cutter.finish(numTokens, closed)
    return closed
  }

  /**
   * Goes back to the first `numTokens` tokens, as if the others, and `end()`, had never come. A segment stays closed only if those tokens
   * alone close it: afterwards the closed segments are those that end at or before `open.start`.
   */
  truncate(numTokens: number): void {
    checkInteger('numTokens', numTokens, 0, this.#pieces.length)
    if (numTokens === this.#pieces.length && !this.#hasEnded) return
    const index = Math.min(Math.floor(numTokens / saveEvery), this.#saved.length - 1)
    const replay = this.#pieces.slice(index * saveEvery, numTokens)
    this.#state = cloneState(this.#saved[index])
    this.#saved.length = index + 1
    this.#pieces.length = index * saveEvery
    this.#anchors.length = Math.min(this.#anchors.length, this.#pieces.length)
    this.#hasEnded = false
    const closed: Segment[] = []
    for (const piece of replay) this.#take(piece, closed)
  }

  /** A copy that goes on by itself. */
  clone(): TokenSegmenter {
    const copy = new TokenSegmenter(this.#options)
    copy.#state = cloneState(this.#state)
    copy.#saved = this.#saved.slice() // a saved state is cloned before it is used
    copy.#pieces = this.#pieces.slice()
    copy.#anchors = this.#anchors.slice()
    copy.#hasEnded = this.#hasEnded
    return copy
  }

  /** The joints between tokens, of which those where a sentence of `inner` ends are the best. */
  #joints(inner: readonly number[]): (token: number) => Joint {
    const pieces = this.#pieces
    const anchors = this.#anchors
    return (token) =>
      jointWithin(inner, anchors[token - 1], anchors[token], () => jointBetween(pieces[token - 1], pieces[token]))
  }

  #take(piece: string, closed: Segment[]): void {
    const state = this.#state
    if (this.#pieces.length === this.#saved.length * saveEvery) this.#saved.push(cloneState(state))
    this.#pieces.push(piece)
    if (piece === '') return // waits for the text that it is part of
    const anchor = anchorOf(piece, state.textLength)
    while (this.#anchors.length < this.#pieces.length) this.#anchors.push(anchor)
    state.textLength += piece.length
    for (const sentence of state.stream.push(piece)) this.#closeSentence(sentence, false, closed)
    if (this.#pieces.length - state.cutter.start > this.#options.maxTokens) this.#growOpen(closed)
  }

  #closeSentence(sentence: ClosedSentence, isLast: boolean, closed: Segment[]): void {
    const state = this.#state
    const end = isLast ? this.#pieces.length : this.#countBefore(sentence.end)
    state.sentenceTokens = end
    state.cutter.grow(end, sentence.openedAs, this.#joints(sentence.inner), closed)
    state.cutter.closeSentence(end, sentence.kind, closed)
  }

  /** Cuts the open sentence if it is already too long. */
  #growOpen(closed: Segment[]): void {
    const { stream, cutter } = this.#state
    const end = this.#countBefore(stream.decidedEnd)
    if (end > this.#state.sentenceTokens) cutter.grow(end, stream.openedAs, this.#joints(stream.inner), closed)
  }

  /** How many tokens, of those that are in no closed sentence and before, are anchored before `offset`. */
  #countBefore(offset: number): number {
    let count = Math.max(this.#state.sentenceTokens, this.#state.cutter.start)
    while (count < this.#anchors.length && this.#anchors[count] < offset) count++
    return count
  }

  #refuseEnded(method: string): void {
    if (!this.#hasEnded) return
    throw new DisposedError({
      parameter: `TokenSegmenter.${method}`,
      expected: 'a segmenter that has not ended',
      got: 'an ended one',
      remedy: 'Open a new TokenSegmenter, or go back with truncate().',
    })
  }
}

function cloneState({ stream, cutter, sentenceTokens, textLength }: State): State {
  return { stream: stream.clone(), cutter: cutter.clone(), sentenceTokens, textLength }
}
