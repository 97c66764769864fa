import { describe, expect, it } from 'vitest'
import { segmentTokens } from './segment-tokens.ts'
import { sentences } from './sentences.ts'
import { ownTexts } from './testing/own-texts.ts'
import { TokenSegmenter } from './token-segmenter.ts'

/** What a text may consist of and nothing else. */
const units = {
  'words without a stop': 'word ',
  'one word': 'a',
  periods: '.',
  'spaced periods': '. ',
  'exclamations and questions': '!?',
  'quotation marks': '"',
  'opening marks': '“„«‘「',
  'stops in quotations': '"a. ',
  'opening brackets': '([',
  'template marks': '<|im_start|>',
  'broken template marks': '<|<[INS',
  spaces: ' ',
  newlines: '\n',
  'short lines': 'ab\n',
  'lines of code': 'f(x);\n',
  'lines that leave brackets open': 'x = (\n',
  bars: '| ',
  'cells of one line': 'a,b;c\t',
  fences: '```\n',
  'numbers and periods': '1. ',
  initials: 'A. ',
  'Roman numbers': 'XVI. ',
  abbreviations: 'etc. ',
  'footnote marks': 'a.[12',
  'mixed scripts': 'Go今天。قال؟ घर। Ja… ',
  'control characters': '\u0000\u0001\u0007\u001b\u007f',
  'NUL and stops': '\u0000. ',
  'halves of surrogate pairs': '\ud83d\ude00\ud83d.',
  'byte order marks': '\ufeff',
  'carriage returns': 'So.\r\n',
  'zero-width joiners': '\u200d\u200b',
}

const repeat = (unit: string, length: number): string => unit.repeat(Math.ceil(length / unit.length)).slice(0, length)

/** The least of three times, in milliseconds. */
function timeOf(run: () => unknown): number {
  return Math.min(
    ...[1, 2, 3].map(() => {
      const startMs = performance.now()
      run()
      return performance.now() - startMs
    }),
  )
}

describe.each(Object.entries(units))('a text of nothing but %s', (_, unit) => {
  it('is tiled by its sentences, in one line of 100,000 units too', () => {
    const text = repeat(unit, 100_000)
    const all = sentences(text)
    const isTiled = all.every(({ start, end }, index) => start === (all[index - 1]?.end ?? 0) && end > start)
    expect([isTiled, all.at(-1)?.end]).toEqual([true, text.length])
  })

  // Tried again where the machine was busy with other things in between: quadratic time fails every time.
  it('takes time in proportion to its length', { retry: 4 }, () => {
    const [short, long] = [repeat(unit, 40_000), repeat(unit, 160_000)]
    sentences(short)
    // Twice doubled: 4 times the time if linear, 16 times if quadratic.
    expect(timeOf(() => sentences(long))).toBeLessThan(9 * timeOf(() => sentences(short)) + 30)
  })

  it('is cut into segments of at most maxTokens, the same one character at a time', () => {
    const text = repeat(unit, 3_000)
    const pieces = text.split('')
    const segmenter = new TokenSegmenter({ minTokens: 4, maxTokens: 32 })
    const streamed = [...segmenter.append(pieces), ...segmenter.end()]
    const offsets = pieces.map((_, index) => [index, index + 1] as const)
    expect(streamed).toEqual(segmentTokens({ text, offsets }, { minTokens: 4, maxTokens: 32 }))
    expect(Math.max(...streamed.map(({ start, end }) => end - start))).toBeLessThanOrEqual(32)
    expect(streamed.at(-1)?.end).toBe(pieces.length)
  })
})

describe('tokens', () => {
  /** What a byte-level tokenizer's streaming decoder gives for one byte a token: text comes with the last byte of a character. */
  const bytePieces = (text: string): string[] => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return [...Buffer.from(text)].map((byte) => decoder.decode(Uint8Array.of(byte), { stream: true }))
  }

  it('of one byte each keep characters whole and end where sentences end', () => {
    const text = '\ufeffÉt. Ça va ? Oui.\r\n今天下雨。我们在家！😀 Good.'
    const pieces = bytePieces(text)
    const segmenter = new TokenSegmenter({ minTokens: 1, maxTokens: 64 })
    const segments = [...segmenter.append(pieces), ...segmenter.end()]
    const cut = segments.map(({ start, end }) => pieces.slice(start, end).join(''))
    expect(cut).toEqual(sentences(text).map(({ start, end }) => text.slice(start, end)))
  })

  it('that end inside of a pair of surrogates leave the pair to the next', () => {
    const pieces = ['It', ' is', '.', ' \ud83d', '\ude00', ' So', '.']
    const segmenter = new TokenSegmenter({ minTokens: 1 })
    expect([...segmenter.append(pieces), ...segmenter.end()].map(({ end }) => end)).toEqual([3, 7])
  })

  it.each(Object.entries(ownTexts))('of lines that end in CRLF are cut as those that end in LF: %s', (_, marked) => {
    const text = marked.replaceAll('⏐', '').replaceAll(/(?<=.{70}) /g, '\n')
    const cut = (whole: string) =>
      sentences(whole).map(({ start, end }) => whole.slice(start, end).replaceAll('\r', ''))
    expect(cut(text.replaceAll('\n', '\r\n'))).toEqual(cut(text))
  })

  it('with a byte order mark, CRLF and lone surrogates have offsets in UTF-16 units', () => {
    const text = '\ufeffOne.\r\n\r\nTwo \ud800 three.'
    expect(sentences(text).map(({ start, end }) => [start, end])).toEqual([
      [0, 9],
      [9, 21],
    ])
  })
})
