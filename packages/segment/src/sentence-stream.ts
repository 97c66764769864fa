import { DisposedError, OptionError } from '@kvasir/core'
import { isIdeographic, isNewline, isSpace, terminatorOf } from './characters.ts'
import { maxCodeLine } from './code-line.ts'
import { type Enclosure, isEnclosureMark, isOpen, nothingOpen, passMark } from './enclosure.ts'
import { type Language, type Lexicon, lexiconFor } from './lexicon.ts'
import { blockOf, expectationBelow, type LineEnd, type LineState, readLineEnd, splitsAtLine } from './line-state.ts'
import { classifyLine, isTurnMark, isUnderTitle, readFence } from './lines.ts'
import { resolveSentenceOptions, type Sentence, type SentenceKind, type SentenceOptions } from './sentence.ts'
import { judgeTerminator } from './terminators.ts'
import { Window } from './window.ts'

/** A closed sentence, with the kind that was known when it began: the kind of its pieces if it is cut before its end is known. */
export interface ClosedSentence extends Sentence {
  readonly openedAs: SentenceKind
  /** Where sentences end that a quotation or brackets keep inside of this one, ascending. */
  readonly inner: readonly number[]
}

/** A run of white space that holds a newline, or the beginning of the text, while it is read. */
interface Gap {
  /** The line above; null at the beginning of the text. */
  readonly above: LineEnd | null
  readonly numNewlines: number
  /** Where the line below begins. */
  readonly nextLine: number
}

/** How many units of other scripts say about as much as one of Chinese or Japanese. */
const ideographicUnits = 3
/** How much text behind the scanner is kept: a line that may turn out to be code, and the word before a period. */
const maxBehind = maxCodeLine + 112
const trimEvery = 4096

/** True for characters at which the scanner must stop and think. */
const isNotable = (c: number): boolean =>
  c < 128
    ? c < 64
      ? c === 10 || c === 46 || c === 33 || c === 63 || c === 34 || c === 40 || c === 41 || c === 60
      : c === 91 || c === 93
    : c === 0xab || c === 0xbb || (c >= 0x589 && (terminatorOf(c) !== 'none' || isNewline(c) || isEnclosureMark(c)))

/**
 * Cuts text into sentences while it arrives. A sentence closes as soon as the characters after it prove its end, and the closed
 * sentences are those of `sentences()` on the whole text, wherever it was cut into pieces. The state is a few kB at any length.
 */
export class SentenceStream {
  readonly #languages: readonly Language[]
  readonly #lexicon: Lexicon
  readonly #maxQuotedUnits: number
  #window = new Window()
  /** The next character to look at. */
  #position = 0
  #sentenceStart = 0
  /** The beginning of the line that the open sentence begins with; -1 if it begins inside of a line. */
  #openedLine = 0
  #openedAs: SentenceKind = 'prose'
  #line: LineState = {
    start: 0,
    kind: 'text',
    mayBeTitle: true,
    block: 'prose',
    fence: null,
    underlines: false,
    depth: 0,
  }
  #gap: Gap | null = { above: null, numNewlines: 2, nextLine: 0 }
  /** A terminator has decided that the sentence ends with its line. */
  #endsWithLine = false
  #enclosure: Enclosure = nothingOpen
  #inner: number[] = []
  /** A terminator has decided that a sentence inside of the open one ends with its line. */
  #innerEndsWithLine = false
  #hasEnded = false

  constructor(options: SentenceOptions = {}) {
    const { languages, maxQuotedUnits } = resolveSentenceOptions(options)
    this.#languages = languages
    this.#maxQuotedUnits = maxQuotedUnits
    this.#lexicon = lexiconFor(this.#languages)
  }

  /** Text before this offset lies in a closed sentence or in the open one, whose `openedAs` is known. */
  get decidedEnd(): number {
    const gap = this.#gap
    if (gap === null) return this.#position
    return gap.above === null ? 0 : Math.min(this.#position, gap.nextLine)
  }

  /** The kind of the open sentence as far as its first line tells. */
  get openedAs(): SentenceKind {
    return this.#openedAs
  }

  /** Where sentences end that are kept inside of the open one, ascending. */
  get inner(): readonly number[] {
    return this.#inner
  }

  /** Takes the next piece of text and returns the sentences that it closes. */
  push(text: string): ClosedSentence[] {
    checkText(text)
    this.#refuseEnded('push')
    const closed: ClosedSentence[] = []
    this.#window.text += text
    this.#scan(closed)
    if (this.#position - this.#window.base > trimEvery) this.#window.drop(this.#position - maxBehind)
    return closed
  }

  /** Says that the text ends here, after a last piece, and returns the sentences that were still open. */
  end(text = ''): ClosedSentence[] {
    checkText(text)
    this.#refuseEnded('end')
    const closed: ClosedSentence[] = []
    this.#hasEnded = true
    this.#window.isFinal = true
    this.#window.text += text
    this.#scan(closed)
    const end = this.#window.end
    if (end > this.#sentenceStart) {
      const line = this.#gap === null ? this.#readLineEnd(end) : this.#gap.above
      this.#close(closed, end, this.#kindAtLineEnd(line, false))
    }
    return closed
  }

  /** A copy that goes on by itself. */
  clone(): SentenceStream {
    const copy = new SentenceStream({ languages: this.#languages, maxQuotedUnits: this.#maxQuotedUnits })
    Object.assign(copy.#window, this.#window)
    copy.#position = this.#position
    copy.#sentenceStart = this.#sentenceStart
    copy.#openedLine = this.#openedLine
    copy.#openedAs = this.#openedAs
    copy.#line = this.#line
    copy.#gap = this.#gap
    copy.#endsWithLine = this.#endsWithLine
    copy.#enclosure = this.#enclosure
    copy.#inner = [...this.#inner]
    copy.#innerEndsWithLine = this.#innerEndsWithLine
    copy.#hasEnded = this.#hasEnded
    return copy
  }

  /** Goes as far as the text that has arrived allows. */
  #scan(closed: ClosedSentence[]): void {
    this.#window.starved = false
    let goesOn = true
    while (goesOn) {
      if (this.#gap !== null) goesOn = this.#crossGap(this.#gap, closed)
      else goesOn = this.#findNotable() && this.#judge(closed)
    }
  }

  /** Moves to the next terminator or newline; false if there is none yet. */
  #findNotable(): boolean {
    const { text, base } = this.#window
    let index = this.#position - base
    while (index < text.length && !isNotable(text.charCodeAt(index))) index++
    this.#position = base + index
    return index < text.length
  }

  /** Judges the terminator or newline at the position; false if more text is needed. */
  #judge(closed: ClosedSentence[]): boolean {
    const position = this.#position
    if (isNewline(this.#window.at(position))) {
      this.#gap = { above: this.#readLineEnd(position), numNewlines: 1, nextLine: position + 1 }
      this.#position++
      return true
    }
    const { kind } = this.#line
    if (kind !== 'text' && kind !== 'item' && kind !== 'weakItem' && kind !== 'turn' && kind !== 'weakTurn') {
      this.#position++ // the whole line is one piece
      return true
    }
    return terminatorOf(this.#window.at(position)) === 'none' ? this.#judgeMark(closed) : this.#judgeStop(closed)
  }

  /** Judges a quotation mark, a bracket or the mark of a chat template. */
  #judgeMark(closed: ClosedSentence[]): boolean {
    const position = this.#position
    const c = this.#window.at(position)
    const mayBeTurn = (c === 60 || c === 91) && position > this.#sentenceStart
    if (mayBeTurn && isTurnMark(this.#window, position)) {
      this.#beginTurn(closed)
      return true
    }
    const enclosure = passMark(this.#enclosure, this.#window, position)
    if (this.#window.starved) return false
    this.#enclosure = enclosure
    this.#position++
    return true
  }

  #judgeStop(closed: ClosedSentence[]): boolean {
    const start = this.#position
    const { split, runEnd, resume } = judgeTerminator(this.#window, start, this.#sentenceStart, this.#lexicon)
    if (this.#window.starved) return false
    this.#position = resume
    for (let position = start + 1; position < runEnd; position++) {
      if (isEnclosureMark(this.#window.at(position)))
        this.#enclosure = passMark(this.#enclosure, this.#window, position)
    }
    if (split === 'no') return true
    const isKept = isOpen(this.#enclosure) && runEnd - this.#sentenceStart < this.#maxUnitsAt(start)
    if (split === 'line') {
      this.#endsWithLine = !isKept
      this.#innerEndsWithLine = isKept
    } else if (isKept) this.#inner.push(resume)
    else {
      this.#close(closed, resume, this.#openedAs)
      this.#openedLine = -1
      this.#openedAs = this.#line.block
    }
    return true
  }

  #maxUnitsAt(terminator: number): number {
    return isIdeographic(this.#window.at(terminator)) ? this.#maxQuotedUnits / ideographicUnits : this.#maxQuotedUnits
  }

  /** Cuts before the mark of a chat template, inside of a line. */
  #beginTurn(closed: ClosedSentence[]): void {
    this.#close(closed, this.#position, this.#openedAs)
    this.#openedLine = -1
    this.#openedAs = 'chat'
    this.#line = { ...this.#line, kind: 'turn', block: 'chat' }
    this.#enclosure = nothingOpen
    this.#position++
  }

  /** Reads white space up to the next line's first visible character and decides what begins there; false if more text is needed. */
  #crossGap(gap: Gap, closed: ClosedSentence[]): boolean {
    const { text, base } = this.#window
    let { numNewlines, nextLine } = gap
    let index = this.#position - base
    for (; index < text.length; index++) {
      const c = text.charCodeAt(index)
      if (isNewline(c)) {
        numNewlines++
        nextLine = base + index + 1
      } else if (!isSpace(c)) break
    }
    this.#position = base + index
    this.#gap = { above: gap.above, numNewlines, nextLine }
    if (index === text.length) return false
    return this.#beginLine(this.#gap, closed)
  }

  #beginLine(gap: Gap, closed: ClosedSentence[]): boolean {
    const { above } = gap
    const line = this.#line
    const isBlank = gap.numNewlines > 1
    const indent = this.#position - gap.nextLine
    const expected = above === null ? 'nothing' : expectationBelow(above, isBlank, indent)
    const shape = classifyLine(this.#window, this.#position, line.fence, expected)
    let isUnder = false
    let splits = above !== null && (isBlank || splitsAtLine(line, above, shape, this.#endsWithLine))
    const isWrapped = above !== null && !splits && (shape === 'weakItem' || shape === 'weakTurn')
    const kind = isWrapped ? 'text' : shape
    if (above?.isShort && !splits && kind === 'text')
      splits = isUnder = isUnderTitle(this.#window, this.#position, above.length)
    if (this.#window.starved) return false

    const isFirst = above === null || isBlank || isUnder || line.kind === 'heading' || line.kind === 'rule'
    const block = blockOf(kind, line.block, isFirst)
    if (isBlank || isUnder || kind !== 'text') this.#enclosure = nothingOpen
    if (!splits && this.#innerEndsWithLine) this.#inner.push(gap.nextLine)
    if (splits) this.#close(closed, gap.nextLine, this.#kindAtLineEnd(above, isBlank || isUnder))
    if (splits || above === null) {
      this.#openedLine = gap.nextLine
      this.#openedAs = block
    }
    const fence = kind === 'fenceOpen' ? readFence(this.#window, this.#position) : kind === 'fenced' ? line.fence : null
    this.#line = {
      start: gap.nextLine,
      kind,
      mayBeTitle: isFirst || this.#endsWithLine,
      block,
      fence,
      underlines: kind === 'rule' && !splits && above?.isShort === true && this.#window.at(this.#position) !== 42,
      depth: isBlank || above === null ? 0 : above.depth,
    }
    this.#gap = null
    this.#endsWithLine = false
    this.#innerEndsWithLine = false
    return true
  }

  #readLineEnd(end: number): LineEnd {
    return readLineEnd(this.#window, this.#line, end, this.#openedLine === this.#line.start)
  }

  /** The kind of a sentence that ends with its line. */
  #kindAtLineEnd(above: LineEnd | null, standsAlone: boolean): SentenceKind {
    if (this.#line.underlines) return 'heading'
    const isWhole = this.#openedLine === this.#line.start
    if (above?.shape === 'code' && (isWhole || this.#line.depth > 0)) return 'code'
    if (above?.shape === 'table' && isWhole) return 'table'
    return above?.shape === 'title' && isWhole && standsAlone ? 'heading' : this.#openedAs
  }

  #close(closed: ClosedSentence[], end: number, kind: SentenceKind): void {
    closed.push({ start: this.#sentenceStart, end, kind, openedAs: this.#openedAs, inner: this.#inner })
    this.#sentenceStart = end
    this.#inner = []
  }

  #refuseEnded(method: string): void {
    if (!this.#hasEnded) return
    throw new DisposedError({
      parameter: `SentenceStream.${method}`,
      expected: 'a stream that has not ended',
      got: 'an ended one',
      remedy: 'Open a new SentenceStream for the next text.',
    })
  }
}

function checkText(text: unknown): void {
  if (typeof text !== 'string') throw new OptionError({ parameter: 'text', expected: 'a string', got: text })
}
