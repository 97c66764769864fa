import { OptionError, type Segment } from '@kvasir/core'
import { isNewline, isSpace } from './characters.ts'
import { type Joint, jointBetween, jointWithin } from './joints.ts'
import { SegmentCutter } from './segment-cutter.ts'
import { resolveSegmentOptions, type SegmentOptions } from './segment-options.ts'
import { SentenceStream } from './sentence-stream.ts'

/** A tokenized text. */
export interface TokenizedText {
  readonly text: string
  /**
   * [start, end) of each token in `text`, in UTF-16 code units (tokenizers that count code points must be converted), ascending.
   * A token without text of its own (a special token, part of a character) has start = end.
   */
  readonly offsets: readonly (readonly [start: number, end: number])[]
}

/**
 * Cuts a token sequence into segments: sentences of minTokens to maxTokens. The segments tile [0, numTokens): every token is in exactly one.
 * A token belongs to the sentence of its first visible character, a blank token to the one in which it begins, and a token
 * without text goes with the next one that has some.
 *
 * @throws OptionError for unknown or wrong options, or offsets that do not ascend or leave the text
 */
export function segmentTokens({ text, offsets }: TokenizedText, options: SegmentOptions = {}): Segment[] {
  const { minTokens, maxTokens, ...sentenceOptions } = resolveSegmentOptions(options)
  const anchors = anchorsOf(text, offsets)
  let inner: readonly number[] = []
  const jointBefore = (token: number): Joint =>
    jointWithin(inner, anchors[token - 1], anchors[token], () => jointAt(text, offsets[token - 1], offsets[token]))
  const stream = new SentenceStream(sentenceOptions)
  const cutter = new SegmentCutter(minTokens, maxTokens)
  const segments: Segment[] = []
  let end = 0
  for (const sentence of [...stream.push(text), ...stream.end()]) {
    while (end < anchors.length && (anchors[end] < sentence.end || sentence.end === text.length)) end++
    inner = sentence.inner
    cutter.grow(end, sentence.openedAs, jointBefore, segments)
    cutter.closeSentence(end, sentence.kind, segments)
  }
  cutter.grow(anchors.length, 'prose', jointBefore, segments) // only where there is no text at all
  cutter.finish(anchors.length, segments)
  return segments
}

/** The offset that decides which sentence a piece of text at `start` belongs to: that of its first visible character. */
export function anchorOf(piece: string, start: number): number {
  for (let index = 0; index < piece.length; index++) {
    const c = piece.charCodeAt(index)
    if (!isSpace(c) && !isNewline(c)) return start + index
  }
  return start
}

function anchorsOf(text: string, offsets: TokenizedText['offsets']): number[] {
  const anchors = new Array<number>(offsets.length)
  let next = text.length
  let nextStart = text.length
  for (let token = offsets.length - 1; token >= 0; token--) {
    const [start, end] = offsets[token]
    if (start !== end) {
      if (!(start >= 0 && start < end && end <= text.length && start <= nextStart)) {
        const expected = `an ascending range inside of the text of ${text.length} UTF-16 units`
        throw new OptionError({ parameter: `offsets[${token}]`, expected, got: offsets[token] })
      }
      nextStart = start
      next = anchorOf(text.slice(start, end), start)
    }
    anchors[token] = next
  }
  return anchors
}

/** The joint between neighbours; text that lies between them (a tokenizer may leave out spaces) counts as part of the second. */
function jointAt(text: string, left: readonly [number, number], right: readonly [number, number]): Joint {
  const start = left[0] === left[1] || right[0] === right[1] ? right[0] : Math.min(left[1], right[0])
  return jointBetween(text.slice(left[0], left[1]), text.slice(start, right[1]))
}
