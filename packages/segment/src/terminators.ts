import {
  isCloser,
  isDigit,
  isIdeographic,
  isLetter,
  isLower,
  isNewline,
  isOpener,
  isSpace,
  isUpper,
  NONE,
  type Terminator,
  terminatorOf,
} from './characters.ts'
import type { Lexicon } from './lexicon.ts'
import type { Window } from './window.ts'

/** What is to happen at a terminator: nothing, a cut at `resume`, or a cut at the end of its line. */
export interface Verdict {
  readonly split: 'no' | 'here' | 'line'
  /** The end of the terminators and the marks that close with them. */
  readonly runEnd: number
  /** Where scanning goes on. */
  readonly resume: number
}

// Bounds of what a rule reads, in UTF-16 units, so that a pathological text cannot make it wait or rescan without end.
const maxRun = 64
const maxGap = 64
const maxWord = 24
const maxOpeners = 8

/** The character class that follows a terminator and its gap. */
type Follower = 'lower' | 'upper' | 'digit' | 'caseless' | 'other' | 'end'

/** Judges the terminator at `start`. `sentenceStart` is where the open sentence begins. Pure but for `window.starved`. */
export function judgeTerminator(window: Window, start: number, sentenceStart: number, lexicon: Lexicon): Verdict {
  const run = readRun(window, start)
  const after = window.at(run.end)
  if (run.strongest === 'full') return judgeFullStop(window, start, run)
  if (!isSpace(after) && !isNewline(after)) {
    // No gap: a decimal, a version, a URL, an ellipsis before a word. Only ideographic text and "The end.--Ed." need no space.
    const isCut =
      run.strongest === 'mark' ? isIdeographic(after) : isDashedOff(window, start, run, sentenceStart, lexicon)
    return { split: isCut ? 'here' : 'no', runEnd: run.end, resume: run.end }
  }
  const gap = readGap(window, run.end)
  const isCut = gap.isLong || endsSentence(window, start, run, gap.end, sentenceStart, lexicon)
  return isCut ? cutAfter(run, gap) : { split: 'no', runEnd: run.end, resume: run.end }
}

/** A cut after the gap, or at the end of its line. */
function cutAfter(run: Run, gap: Gap): Verdict {
  return gap.hasNewline
    ? { split: 'line', runEnd: run.end, resume: run.end }
    : { split: 'here', runEnd: run.end, resume: gap.end }
}

interface Run {
  readonly end: number
  readonly numTerminators: number
  readonly strongest: Terminator
  readonly hasCloser: boolean
}

/** Terminators and closing marks from `start` on, e.g. `?!"` or `.)` or `.[12]`. */
function readRun(window: Window, start: number): Run {
  let position = start
  let numTerminators = 0
  let strongest: Terminator = 'period'
  let hasCloser = false
  for (; position < start + maxRun; position++) {
    const c = window.at(position)
    const terminator = terminatorOf(c)
    if (terminator !== 'none') {
      numTerminators++
      if (terminator === 'full' || strongest === 'period') strongest = terminator
    } else if (isCloser(c) || closesAsOpener(window, position)) hasCloser = true
    else if (isSpacedCloser(window, position)) {
      hasCloser = true
      position++
    } else {
      const noteEnd = c === 91 ? skipNote(window, position) : position
      if (noteEnd === position) break
      position = noteEnd - 1
    }
  }
  return { end: position, numTerminators, strongest, hasCloser }
}

/** True for a mark that opens in one language and closes in another, where no word follows it: „So.“, »So.« */
function closesAsOpener(window: Window, position: number): boolean {
  const c = window.at(position)
  if (c !== 0x201c && c !== 0x2018 && c !== 0xab) return false
  const after = window.at(position + 1)
  return !isLetter(after) && !isDigit(after)
}

/** True for a space and a closing mark, as in « Oui. » */
function isSpacedCloser(window: Window, position: number): boolean {
  if (!isSpace(window.at(position)) || window.at(position + 1) !== 0xbb) return false
  const after = window.at(position + 2)
  return !isLetter(after) && !isDigit(after)
}

/** The end of a footnote mark like [12] at `position`, or `position` if there is none. */
function skipNote(window: Window, position: number): number {
  let end = position + 1
  while (end < position + 4 && isDigit(window.at(end))) end++
  return end > position + 1 && window.at(end) === 93 ? end + 1 : position
}

interface Gap {
  readonly end: number
  readonly hasNewline: boolean
  /** A blank line, or wider than any gap between two sentences of a line. */
  readonly isLong: boolean
}

function readGap(window: Window, start: number): Gap {
  let end = start
  let hasNewline = false
  for (; end < start + maxGap; end++) {
    const c = window.at(end)
    if (isNewline(c)) {
      if (hasNewline) return { end, hasNewline, isLong: true }
      hasNewline = true
    } else if (!isSpace(c)) return { end, hasNewline, isLong: false }
  }
  return { end, hasNewline, isLong: true }
}

/** Full stops that need no space. Spaces after them stay with them, up to the end of the line. */
function judgeFullStop(window: Window, start: number, run: Run): Verdict {
  const after = window.at(run.end)
  const isDecimal = window.at(start) === 0xff0e && isDigit(after)
  // A quotation that goes on: 「…。」と言った
  const isQuoted = run.hasCloser && (after === 0x3068 || after === 0x3063 || after === 0x3001 || after === 0xff0c)
  if (isDecimal || isQuoted) return { split: 'no', runEnd: run.end, resume: run.end }
  return cutAfter(run, readGap(window, run.end))
}

/** True for a whole sentence with a dash and a capital after its single period: "NOTE.--The paper is torn." */
function isDashedOff(window: Window, start: number, run: Run, sentenceStart: number, lexicon: Lexicon): boolean {
  const dash = window.at(run.end)
  if (run.numTerminators > 1 || (dash !== 0x2014 && !(dash === 45 && window.at(run.end + 1) === 45))) return false
  const first = dash === 45 ? run.end + 2 : run.end + 1
  return isUpper(window.at(first)) && judgeWord(window, start, first, 'upper', sentenceStart, lexicon)
}

function endsSentence(
  window: Window,
  start: number,
  run: Run,
  next: number,
  sentenceStart: number,
  lexicon: Lexicon,
): boolean {
  const first = skipOpeners(window, next)
  const follower = followerOf(window.at(first))
  if (follower === 'end') return true
  if (run.strongest === 'mark') {
    if (follower === 'lower') return !run.hasCloser && first === next
    return !(run.hasCloser && isSpeechTag(window, next, lexicon))
  }
  if (follower === 'lower') return false
  if (run.numTerminators > 1 || window.at(start) === 0x2026) return true
  if (window.at(next) === 46) return false // ". . ." goes on
  return judgeWord(window, start, first, follower, sentenceStart, lexicon)
}

function skipOpeners(window: Window, start: number): number {
  let position = start
  while (
    position < start + maxOpeners &&
    (isOpener(window.at(position)) || (position > start && isSpace(window.at(position))))
  )
    position++
  return position
}

function followerOf(c: number): Follower {
  if (c === NONE) return 'end'
  if (isLower(c)) return 'lower'
  if (isUpper(c)) return 'upper'
  if (isDigit(c)) return 'digit'
  return isLetter(c) ? 'caseless' : 'other'
}

/** Judges a single period by the word before it and the word after it (which begins at `first`). */
function judgeWord(
  window: Window,
  period: number,
  first: number,
  follower: Follower,
  sentenceStart: number,
  lexicon: Lexicon,
): boolean {
  let wordStart = period
  while (wordStart > sentenceStart && period - wordStart < maxWord && isWordUnit(window.at(wordStart - 1))) wordStart--
  const word = window.slice(wordStart, period)
  if (word === '') return true
  const kind = lexicon.abbreviations.get(word)
  const opensSentence = (): boolean => follower === 'upper' && isOpeningWord(window, first, lexicon)
  if (kind === 'never') return false
  if (kind === 'maybe') return opensSentence()
  if (kind === 'beforeNumber' && (follower === 'digit' || isRomanNumber(window, first, word))) return false
  if (isDigit(word.charCodeAt(0)) && isDigit(word.charCodeAt(word.length - 1))) {
    if (isMarker(window, wordStart, sentenceStart)) return false
    return word.length > 2 || lexicon.afterOrdinal.size === 0 || !lexicon.afterOrdinal.has(readWord(window, first))
  }
  if (follower === 'digit' && /^[xvi]{2,}$|str$/.test(word)) return false // "Inferno, xxxii. 150", "Goethestr. 5"
  const isLoneLetter = word.length === 1 && isLetter(word.charCodeAt(0))
  if ((isLoneLetter || /^[IVXLC]+$/.test(word)) && isMarker(window, wordStart, sentenceStart)) return false
  if (isLoneLetter) {
    if (word === 'I' && followsLowerCase(window, wordStart)) return true
    return opensSentence()
  }
  return isAcronym(word) ? opensSentence() : true
}

const isWordUnit = (c: number): boolean =>
  isLetter(c) || isDigit(c) || c === 46 || c === 0x27 || c === 0x2019 || c === 0xb0 || c === 0xba

/** A single letter after other letters and a period: U.S, D.C, z.B, CAPT.E.Y. */
const isAcronym = (word: string): boolean =>
  word.charCodeAt(word.length - 2) === 46 && isLetter(word.charCodeAt(word.length - 1))

/** True if nothing but marks stands before `position` in its sentence: "1. Open the box". */
function isMarker(window: Window, position: number, sentenceStart: number): boolean {
  let before = position - 1
  while (
    before >= sentenceStart &&
    before > position - maxOpeners &&
    (isSpace(window.at(before)) || isNewline(window.at(before)) || isOpener(window.at(before)))
  )
    before--
  return before < sentenceStart
}

/** True if the word before `position` ends in a lower-case letter: then "I" is the pronoun and no initial. */
const followsLowerCase = (window: Window, position: number): boolean =>
  isSpace(window.at(position - 1)) && isLower(window.at(position - 2))

/** The letters at `start`, at most maxWord of them. */
function readWord(window: Window, start: number): string {
  let end = start
  while (end < start + maxWord && (isLetter(window.at(end)) || window.at(end) === 0x27 || window.at(end) === 0x2019))
    end++
  return window.slice(start, end)
}

/** True for a word that opens sentences ("The"), unless it is an initial ("A." of "J. A. Smith"). */
function isOpeningWord(window: Window, start: number, lexicon: Lexicon): boolean {
  const word = readWord(window, start)
  const plain = word.replace('\u2019', "'")
  const isCapitals = plain.length > 1 && plain === plain.toUpperCase()
  if (!lexicon.openers.has(isCapitals ? plain.charAt(0) + plain.slice(1).toLowerCase() : plain)) return false
  return word.length > 1 || window.at(start + 1) !== 46
}

/** True for "I said" and the like, which go on after a quotation: "Run!" I cried. */
const isSpeechTag = (window: Window, start: number, lexicon: Lexicon): boolean =>
  window.at(start) === 73 && isSpace(window.at(start + 1)) && lexicon.speech.has(readWord(window, start + 2))

/** True for II, XIV and the like at `start`; for I, V, X too, except after "No", which is more often an answer ("No. I will not."). */
function isRomanNumber(window: Window, start: number, abbreviation: string): boolean {
  const word = readWord(window, start)
  return /^[IVXLC]+$/.test(word) && (word.length > 1 || abbreviation.toLowerCase() !== 'no')
}
