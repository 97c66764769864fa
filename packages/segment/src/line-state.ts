import { isLower, isSpace, terminatorOf } from './characters.ts'
import { bracketDepth, isCodeLine, maxCodeLine } from './code-line.ts'
import type { Expectation, Fence, LineKind } from './lines.ts'
import type { SentenceKind } from './sentence.ts'
import { isTableLine } from './table-line.ts'
import type { Window } from './window.ts'

/** The line that the scanner is in. Positions are absolute UTF-16 offsets. */
export interface LineState {
  readonly start: number
  readonly kind: LineKind
  /** True if no open sentence stands above it, so that it may be a title. */
  readonly mayBeTitle: boolean
  /** The kind of the sentences that begin in it. */
  readonly block: SentenceKind
  readonly fence: Fence | null
  /** A rule that makes the short line above it a heading. */
  readonly underlines: boolean
  /** Brackets that program text above has left open. */
  readonly depth: number
}

/** What is known of a line once its newline is reached. */
export interface LineEnd {
  /** What the line turned out to be; `text` is prose or a list item or a turn. */
  readonly shape: 'text' | 'code' | 'table' | 'title'
  /** Could stand as a title if something longer follows. */
  readonly isShort: boolean
  readonly depth: number
  readonly endsInColon: boolean
  readonly length: number
}

/** What the line `above` lets one expect of the next, which begins `indent` units into its line. */
export function expectationBelow(above: LineEnd, isBlank: boolean, indent: number): Expectation {
  if (above.shape === 'code' && (!isBlank || indent > 1)) return 'code'
  if (above.shape === 'table' && !isBlank) return 'table'
  return above.endsInColon || above.shape === 'code' ? 'anything' : 'nothing'
}

const maxTitle = 80
/** A shorter line was not broken because it was full. */
const maxUnwrapped = 40
const maxUnderlinedTitle = 60
/** A statement over more brackets or text than this is cut at the next newline. */
const maxDepth = 8

/** Reads the line `line` that ends at `end`. `isWhole`: the open sentence is this line and nothing else. */
export function readLineEnd(window: Window, line: LineState, end: number, isWhole: boolean): LineEnd {
  const length = end - line.start
  let last = end - 1
  while (last > line.start && end - last < 64 && isSpace(window.at(last))) last--
  const lastUnit = window.at(last)
  const text = length <= maxCodeLine ? window.slice(line.start, end) : ''
  const isCode =
    line.kind === 'code' ||
    line.kind === 'fenced' ||
    (line.kind === 'text' && text !== '' && isCodeLine(text, false)) ||
    line.depth > 0
  const depth = isCode ? Math.min(maxDepth, Math.max(0, line.depth + bracketDepth(text))) : 0
  const canBeTitle =
    line.kind === 'text' &&
    line.mayBeTitle &&
    length <= maxTitle &&
    isWhole &&
    !isOpenEnd(lastUnit) &&
    startsTitle(text)
  const isTable = line.kind === 'table' || (!isCode && line.kind === 'text' && text !== '' && isTableLine(text))
  const shape = isTable ? 'table' : isCode ? 'code' : canBeTitle || line.kind === 'heading' ? 'title' : 'text'
  return { shape, isShort: canBeTitle && length <= maxUnderlinedTitle, depth, endsInColon: lastUnit === 58, length }
}

/** Characters in which no title ends: terminators (the sentence is whole) and marks after which it goes on. */
const isOpenEnd = (c: number): boolean =>
  terminatorOf(c) !== 'none' ||
  c === 44 ||
  c === 58 ||
  c === 59 ||
  c === 45 ||
  c === 0x2014 ||
  c === 38 ||
  c === 34 ||
  c === 0x201d

function startsTitle(text: string): boolean {
  const visible = text.trimStart()
  return visible !== '' && !isLower(visible.charCodeAt(0))
}

/** The kind of sentences that begin on a line of kind `next`, when `block` is the kind of the line above in the same paragraph. */
export function blockOf(next: LineKind, block: SentenceKind, isFirst: boolean): SentenceKind {
  switch (next) {
    case 'heading':
      return 'heading'
    case 'table':
      return 'table'
    case 'item':
    case 'weakItem':
      return 'list'
    case 'turn':
    case 'weakTurn':
      return 'chat'
    case 'code':
    case 'fenceOpen':
    case 'fenced':
    case 'fenceClose':
      return 'code'
    default:
      return !isFirst && (block === 'list' || block === 'chat') ? block : 'prose'
  }
}

/** True if the sentence of `line`, which ended as `above`, does not go on in the next line, of kind `next`. */
export function splitsAtLine(line: LineState, above: LineEnd, next: LineKind, endsWithLine: boolean): boolean {
  if (next === 'fenceClose' || line.kind === 'fenceOpen') return false
  if (above.shape === 'code' && line.kind !== 'fenceClose' && next !== 'fenceOpen') return above.depth === 0
  if (line.kind === 'heading' || line.kind === 'rule' || line.kind === 'fenceClose' || above.shape === 'table')
    return true
  switch (next) {
    case 'heading':
    case 'table':
    case 'fenceOpen':
    case 'item':
    case 'turn':
    case 'code':
      return true
    case 'weakItem':
      return endsWithLine || above.endsInColon || line.block === 'list'
    case 'weakTurn':
      return endsWithLine || above.endsInColon || line.block === 'chat' || above.length < maxUnwrapped
    case 'rule':
      return false
    default:
      return endsWithLine
  }
}
