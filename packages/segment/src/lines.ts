import { isDigit, isIdeographic, isLetter, isNewline, isOpener, isSpace, isUpper, NONE } from './characters.ts'
import { isCodeLine } from './code-line.ts'
import { isNextTableLine, isTableLine } from './table-line.ts'
import type { Window } from './window.ts'

/** What the beginning of a line says about it. The weak ones may also be the middle of a wrapped sentence ("12. May", "Italy: the"). */
export type LineKind =
  | 'text'
  | 'heading'
  | 'rule'
  | 'table'
  | 'item'
  | 'weakItem'
  | 'turn'
  | 'weakTurn'
  | 'code'
  | 'fenceOpen'
  | 'fenced'
  | 'fenceClose'

/** An open code fence: its character and length. */
export interface Fence {
  readonly mark: number
  readonly length: number
}

const maxLook = 160
const maxName = 40
const codeWords = new Set(
  (
    'import from def class async const let var export public private protected static fn func function type interface struct enum impl ' +
    'package using namespace return'
  ).split(' '),
)

/** What the line above lets one expect; `code` and `table` only where no blank line lies between, or an indented line follows. */
export type Expectation = 'nothing' | 'anything' | 'code' | 'table'

/** Classifies the line whose first visible character is at `start`. It is read to its end only where something is expected of it. */
export function classifyLine(window: Window, start: number, fence: Fence | null, expected: Expectation): LineKind {
  const c = window.at(start)
  if (c === 96 || c === 126) {
    const mark = readFence(window, start)
    if (mark !== null && fence === null) return 'fenceOpen'
    if (mark !== null && mark.mark === fence?.mark && mark.length >= fence.length) return 'fenceClose'
  }
  if (fence !== null) return 'fenced'
  if (expected === 'code' && (c === 35 || c === 42) && isSpace(window.at(start + 1))) return 'code' // comments
  const kind = classifyByMark(window, start, c)
  if (kind !== 'text') return kind
  const isExpected = expected !== 'nothing' || codeWords.has(asciiWord(window, start))
  const line = isExpected ? readLine(window, start) : ''
  if (line !== '' && isCodeLine(line, expected === 'code')) return 'code'
  if (expected === 'table' && isNextTableLine(line)) return 'table'
  if (expected === 'anything' && isTableLine(line)) return 'table'
  if (isLetter(c)) {
    if (isTurn(window, start)) return 'weakTurn'
    if (window.at(start + 1) === 41 && isSpace(window.at(start + 2))) return 'weakItem' // a)
  }
  return 'text'
}

/** The code fence at `start`, if there is one. */
export function readFence(window: Window, start: number): Fence | null {
  const mark = window.at(start)
  let end = start
  while (end < start + maxLook && window.at(end) === mark) end++
  return end - start >= 3 ? { mark, length: end - start } : null
}

function classifyByMark(window: Window, start: number, c: number): LineKind {
  switch (c) {
    case 35: // #
      return classifyHash(window, start)
    case 124: // |
      return 'table'
    case 42: // *
    case 43: // +
    case 45: // -
    case 61: // =
    case 95: // _
    case 126: // ~
      if (isRule(window, start, c)) return 'rule'
      return c !== 61 && c !== 95 && c !== 126 && isSpace(window.at(start + 1)) ? 'item' : 'text'
    case 0x2022:
    case 0x2023:
    case 0x25aa:
    case 0x25e6:
      return 'item'
    case 60: // <
      return window.at(start + 1) === 124
        ? 'turn'
        : isLetter(window.at(start + 1)) && isNick(window, start)
          ? 'turn'
          : 'text'
    case 91: // [
      return isStampedTurn(window, start) ? 'turn' : 'text'
    case 40: // (
      return isBracketedItem(window, start) ? 'weakItem' : 'text'
    case 47: // /
      return window.at(start + 1) === 47 || window.at(start + 1) === 42 ? 'code' : 'text'
    case 64: // @
    case 125: // }
      return isCodeAhead(window, start) ? 'code' : 'text'
    default:
      return isDigit(c) ? classifyNumber(window, start) : 'text'
  }
}

function classifyHash(window: Window, start: number): LineKind {
  let end = start
  while (end < start + 7 && window.at(end) === 35) end++
  if (end - start <= 6 && isSpace(window.at(end))) return 'heading'
  return end === start + 1 && (isLetter(window.at(end)) || window.at(end) === 33) && isCodeAhead(window, start)
    ? 'code'
    : 'text'
}

/** A line of one repeated mark: ---, ***, ===, * * *. */
function isRule(window: Window, start: number, mark: number): boolean {
  let numMarks = 0
  for (let position = start; position < start + maxLook; position++) {
    const c = window.at(position)
    if (c === mark) numMarks++
    else if (c === NONE || isNewline(c)) return numMarks >= 3
    else if (!isSpace(c)) return false
  }
  return false
}

function classifyNumber(window: Window, start: number): LineKind {
  let end = start
  while (end < start + 4 && isDigit(window.at(end))) end++
  const mark = window.at(end)
  if (end > start + 3 || (mark !== 46 && mark !== 41) || !isSpace(window.at(end + 1))) return 'text'
  return end === start + 1 && window.at(start) === 49 ? 'item' : 'weakItem'
}

function isBracketedItem(window: Window, start: number): boolean {
  let end = start + 1
  while (end < start + 5 && (isLetter(window.at(end)) || isDigit(window.at(end)))) end++
  return end > start + 1 && window.at(end) === 41 && isSpace(window.at(end + 1))
}

const turnMarks = ['<|im_start|>', '<|start_header_id|>', '<|user|>', '<|assistant|>', '<|system|>', '<start_of_turn>', '[INST]', '[/INST]'] // biome-ignore format: one line

/** True for a mark of a chat template at `start` with which a turn begins, which may be in the middle of a line. */
export function isTurnMark(window: Window, start: number): boolean {
  return turnMarks.some((mark) => {
    let index = 0
    while (index < mark.length && window.at(start + index) === mark.charCodeAt(index)) index++
    return index === mark.length
  })
}

/** "Name: text" with a name of at most four capitalised words, or a role in lower case. */
function isTurn(window: Window, start: number): boolean {
  let numWords = 0
  let isWordStart = true
  for (let position = start; position < start + maxName; position++) {
    const c = window.at(position)
    if (c === 0xff1a) return position > start
    if (c === 58) {
      const said = window.at(position + 2)
      return isSpace(window.at(position + 1)) && !isSpace(said) && !isNewline(said) && said !== NONE
    }
    if (c === 32) {
      if (isWordStart) return false
      isWordStart = true
    } else if (isWordStart) {
      if (!isUpper(c) && !isIdeographic(c) && !isDigit(c) && !(numWords === 0 && isRole(window, start))) return false
      if (++numWords > 4) return false
      isWordStart = false
    } else if (!isLetter(c) && !isDigit(c) && c !== 45 && c !== 95 && c !== 39 && c !== 46) return false
  }
  return false
}

function isRole(window: Window, start: number): boolean {
  const word = asciiWord(window, start)
  return word === 'user' || word === 'assistant' || word === 'system' || word === 'tool'
}

/** "<name> ..." of a chat log. */
function isNick(window: Window, start: number): boolean {
  let end = start + 1
  while (
    end < start + maxName &&
    (isLetter(window.at(end)) || isDigit(window.at(end)) || window.at(end) === 95 || window.at(end) === 45)
  )
    end++
  return window.at(end) === 62 && window.at(end + 1) === 32
}

/** "[12:30] ..." of a chat log, or a bracketed template mark such as [INST]. */
function isStampedTurn(window: Window, start: number): boolean {
  let end = start + 1
  while (end < start + 24 && window.at(end) !== 93 && window.at(end) !== NONE && !isNewline(window.at(end))) end++
  return /^\[(?:\d{1,4}[-/]\d{1,2}[-/]\d{1,4}[ T,]*)?(?:\d{1,2}:\d{2}(?::\d{2})?)\]$|^\[\/?INST\]$/.test(
    window.slice(start, end + 1),
  )
}

function asciiWord(window: Window, start: number): string {
  let end = start
  while (end < start + 12 && window.at(end) >= 97 && window.at(end) <= 122) end++
  return window.slice(start, end)
}

/** The rest of the line from `start`; empty if it is longer than maxLook. */
function readLine(window: Window, start: number): string {
  for (let end = start; end < start + maxLook; end++) {
    const c = window.at(end)
    if (c === NONE || isNewline(c)) return window.slice(start, end)
  }
  return ''
}

const isCodeAhead = (window: Window, start: number): boolean => isCodeLine(readLine(window, start), false)

/**
 * True if the short line of `length` units before the line at `start` stands above it as a title: the next line opens like a sentence
 * and is clearly longer, which a wrapped line would not be.
 */
export function isUnderTitle(window: Window, start: number, length: number): boolean {
  const first = window.at(start)
  if (!isUpper(first) && !isDigit(first) && !isOpener(first)) return false
  const longEnough = start + Math.max(40, length + 20)
  for (let position = start; position < longEnough; position++) {
    const c = window.at(position)
    if (c === NONE || isNewline(c)) return false
  }
  return true
}
