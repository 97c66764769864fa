/** Classes of UTF-16 code units. `NONE` stands for "no character here" and is in no class. */
export const NONE = -1

export const isSpace = (c: number): boolean =>
  c === 32 ||
  (c >= 9 && c <= 13 && c !== 10) ||
  c === 0xa0 ||
  c === 0x3000 ||
  (c >= 0x2000 && c <= 0x200b) ||
  c === 0x202f ||
  c === 0xfeff

export const isNewline = (c: number): boolean => c === 10 || c === 0x2028 || c === 0x2029

export const isDigit = (c: number): boolean =>
  (c >= 48 && c <= 57) || (c >= 0xff10 && c <= 0xff19) || (c >= 0x660 && c <= 0x669)

export function isLower(c: number): boolean {
  if (c < 128) return c >= 97 && c <= 122
  return /\p{Ll}/u.test(String.fromCharCode(c))
}

export function isUpper(c: number): boolean {
  if (c < 128) return c >= 65 && c <= 90
  return /[\p{Lu}\p{Lt}]/u.test(String.fromCharCode(c))
}

/** A letter or a mark that continues one; surrogates, so scripts beyond the BMP, count as letters. */
export function isLetter(c: number): boolean {
  if (c < 128) return (c >= 97 && c <= 122) || (c >= 65 && c <= 90)
  return /[\p{L}\p{M}]/u.test(String.fromCharCode(c))
}

/** Han, kana and their fullwidth company: scripts written without spaces between sentences. */
export const isIdeographic = (c: number): boolean =>
  (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff00 && c <= 0xffef)

/** What a character does at the end of a sentence. */
export type Terminator = 'none' | 'period' | 'mark' | 'full'

/**
 * `period`: may end a sentence, may mark an abbreviation (. …); `mark`: ends one when a space follows (! ?);
 * `full`: ends one wherever it stands (CJK, Indic, Armenian, Ethiopic, Khmer, Burmese, Urdu full stops).
 */
export function terminatorOf(c: number): Terminator {
  if (c < 128) return c === 46 ? 'period' : c === 33 || c === 63 ? 'mark' : 'none'
  switch (c) {
    case 0x2026:
      return 'period'
    case 0x203c:
    case 0x203d:
    case 0x2047:
    case 0x2048:
    case 0x2049:
    case 0x61f:
      return 'mark'
    case 0x3002:
    case 0xff01:
    case 0xff0e:
    case 0xff1f:
    case 0xff61:
    case 0x964:
    case 0x965:
    case 0x6d4:
    case 0x589:
    case 0x1362:
    case 0x1367:
    case 0x104b:
    case 0x17d4:
    case 0x17d5:
      return 'full'
    default:
      return 'none'
  }
}

const closers = new Set([...'"\'”’»)]}›*_`」』）】》〉〕］｝〗＂'].map((char) => char.charCodeAt(0)))
const openers = new Set([...'"\'“”‘’„‚«»‹(<[{¿¡*_`>–—―-「『（【《〈〔［｛〖'].map((char) => char.charCodeAt(0)))

/** May stand between a terminator and the end of its sentence. */
export const isCloser = (c: number): boolean => closers.has(c)

/** May stand before the first letter of a sentence. */
export const isOpener = (c: number): boolean => openers.has(c)
