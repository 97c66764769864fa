import { isLetter, isNewline, isOpener, isSpace, isUpper, NONE } from './characters.ts'
import type { Window } from './window.ts'

/** What stands open at a place of a paragraph: one quotation at most, and brackets. */
export interface Enclosure {
  /** The mark that opened the quotation; 0 for none. */
  readonly quote: number
  readonly numBrackets: number
}

export const nothingOpen: Enclosure = { quote: 0, numBrackets: 0 }

export const isOpen = ({ quote, numBrackets }: Enclosure): boolean => quote !== 0 || numBrackets > 0

/** Closing marks of each opening one; a quotation that "»" opens ends with "«". */
const closersOf: Readonly<Record<number, string>> = {
  34: '"',
  8220: '”',
  8222: '“”',
  8216: '’',
  171: '»',
  187: '«',
  12300: '」',
  12302: '』',
}
const openBrackets = '([（【'
const closeBrackets = ')]）】'
const marks = new Set([...`${Object.values(closersOf).join('')}“„‘「『${openBrackets}${closeBrackets}`].map((mark) => mark.charCodeAt(0))) // biome-ignore format: one line

export const isEnclosureMark = (c: number): boolean => marks.has(c)

/** What is open after the mark at `position`. Reads one character on either side. */
export function passMark(open: Enclosure, window: Window, position: number): Enclosure {
  const c = window.at(position)
  const mark = String.fromCharCode(c)
  if (openBrackets.includes(mark)) return { ...open, numBrackets: open.numBrackets + 1 }
  if (closeBrackets.includes(mark)) return { ...open, numBrackets: Math.max(0, open.numBrackets - 1) }
  if (open.quote === 0) return opensQuotation(window, position, c) ? { ...open, quote: c } : open
  return closesQuotation(window, position, c, open.quote) ? { ...open, quote: 0 } : open
}

function opensQuotation(window: Window, position: number, c: number): boolean {
  if (closersOf[c] === undefined) return false
  if (c !== 34 && c !== 0xbb && c !== 0x2018) return true
  const before = window.at(position - 1)
  const after = window.at(position + 1)
  if (before !== NONE && !isBlank(before) && !isOpener(before)) return false
  if (c === 34) return after !== NONE && !isBlank(after)
  return c === 0xbb ? isLetter(after) : isUpper(after) // a ‘ before a small letter is often an apostrophe
}

function closesQuotation(window: Window, position: number, c: number, quote: number): boolean {
  if (!closersOf[quote].includes(String.fromCharCode(c))) return false
  if (c === 0x2019) return !isLetter(window.at(position + 1)) // an apostrophe
  return c !== 34 || !opensQuotation(window, position, c)
}

const isBlank = (c: number): boolean => isSpace(c) || isNewline(c)
