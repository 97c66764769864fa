import type { Segment } from '@kvasir/core'
import { type Joint, joint } from './joints.ts'
import type { SentenceKind } from './sentence.ts'

/** A sentence that is too short to stand alone, inside of the open segment. */
interface Part {
  readonly end: number
  readonly kind: SentenceKind
}

/**
 * Turns sentences, in token units, into segments of minTokens to maxTokens. It looks at no token after the sentence that it is given and
 * takes nothing back, so it does not matter whether a sentence is reported while it grows or when it is whole.
 */
export class SegmentCutter {
  readonly #minTokens: number
  readonly #maxTokens: number
  #nextId = 0
  #start = 0
  #parts: readonly Part[] = []

  constructor(minTokens: number, maxTokens: number) {
    this.#minTokens = minTokens
    this.#maxTokens = maxTokens
  }

  /** The first token that is in no closed segment. */
  get start(): number {
    return this.#start
  }

  get numClosed(): number {
    return this.#nextId
  }

  /** The open sentence is known to hold all tokens before `end`: cuts off what can no longer be in one segment with its end. */
  grow(end: number, openedAs: SentenceKind, jointBefore: (token: number) => Joint, closed: Segment[]): void {
    while (end - this.#start > this.#maxTokens) this.#emit(this.#bestCut(jointBefore), openedAs, closed)
  }

  /** The open sentence ends before token `end`. */
  closeSentence(end: number, kind: SentenceKind, closed: Segment[]): void {
    const lastEnd = this.#parts.at(-1)?.end ?? this.#start
    if (end <= lastEnd) return // no token of its own
    if (end - this.#start >= this.#minTokens) this.#emit(end, kind, closed)
    else this.#parts = [...this.#parts, { end, kind }]
  }

  /** No token follows `end`. */
  finish(end: number, closed: Segment[]): void {
    if (end > this.#start) this.#emit(end, this.#parts.at(-1)?.kind ?? 'prose', closed)
  }

  clone(): SegmentCutter {
    const copy = new SegmentCutter(this.#minTokens, this.#maxTokens)
    copy.#nextId = this.#nextId
    copy.#start = this.#start
    copy.#parts = this.#parts
    return copy
  }

  /** The last best place to cut the open segment. */
  #bestCut(jointBefore: (token: number) => Joint): number {
    let cut = this.#start + this.#maxTokens
    let best: Joint = joint.insideCharacter
    for (let token = cut; token >= this.#start + this.#minTokens; token--) {
      const here = jointBefore(token)
      if (here <= best) continue
      best = here
      cut = token
      if (best === joint.afterSentence) break
    }
    return cut
  }

  #emit(end: number, lastKind: SentenceKind, closed: Segment[]): void {
    closed.push({ id: this.#nextId++, start: this.#start, end, kind: this.#kindUpTo(end, lastKind) })
    this.#start = end
    this.#parts = []
  }

  /** The kind of most tokens of the open segment; of equals the first. */
  #kindUpTo(end: number, lastKind: SentenceKind): SentenceKind {
    if (this.#parts.length === 0) return lastKind
    const numTokens = new Map<SentenceKind, number>()
    let start = this.#start
    for (const part of [...this.#parts, { end, kind: lastKind }]) {
      numTokens.set(part.kind, (numTokens.get(part.kind) ?? 0) + part.end - start)
      start = part.end
    }
    let winner = lastKind
    let most = 0
    for (const [kind, count] of numTokens) {
      if (count <= most) continue
      most = count
      winner = kind
    }
    return winner
  }
}
