import { DisposedError, OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ClosedSentence } from './sentence-stream.ts'
import { SentenceStream } from './sentence-stream.ts'
import { sentences } from './sentences.ts'
import { mixedText, textInPieces } from './testing/texts.ts'

const plain = (closed: readonly ClosedSentence[]) => closed.map(({ start, end, kind }) => ({ start, end, kind }))

describe('SentenceStream', () => {
  it('tiles any text', () => {
    fc.assert(
      fc.property(mixedText, (text) => {
        let end = 0
        for (const sentence of sentences(text)) {
          expect(sentence.start).toBe(end)
          expect(sentence.end).toBeGreaterThan(sentence.start)
          end = sentence.end
        }
        expect(end).toBe(text.length)
      }),
      { numRuns: 400, endOnFailure: true },
    )
  })

  it('gives the sentences of the whole text wherever the text is cut', () => {
    fc.assert(
      fc.property(textInPieces, ([text, pieces]) => {
        const stream = new SentenceStream()
        const closed = [...pieces.flatMap((piece) => stream.push(piece)), ...stream.end()]
        expect(plain(closed)).toEqual(sentences(text))
      }),
      { numRuns: 600, endOnFailure: true },
    )
  })

  it('gives them one character at a time, and at each single cut of a text', () => {
    fc.assert(
      fc.property(mixedText, fc.nat(), (text, seed) => {
        const whole = sentences(text)
        const single = new SentenceStream()
        expect(plain([...text.split('').flatMap((unit) => single.push(unit)), ...single.end()])).toEqual(whole)
        for (let at = seed % 7; at < text.length; at += 7) {
          const stream = new SentenceStream()
          const closed = [...stream.push(text.slice(0, at)), ...stream.push(text.slice(at)), ...stream.end()]
          expect(plain(closed)).toEqual(whole)
        }
      }),
      { numRuns: 100, endOnFailure: true },
    )
  })

  it('gives the same in long texts, of which it has forgotten the beginning', () => {
    const longText = fc.array(mixedText, { minLength: 30, maxLength: 60 }).map((texts) => texts.join(''))
    fc.assert(
      fc.property(longText, fc.integer({ min: 1, max: 30 }), (text, length) => {
        const stream = new SentenceStream()
        const closed: ClosedSentence[] = []
        for (let start = 0; start < text.length; start += length)
          closed.push(...stream.push(text.slice(start, start + length)))
        expect(plain([...closed, ...stream.end()])).toEqual(sentences(text))
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })

  it('never begins a sentence before the decided end', () => {
    fc.assert(
      fc.property(textInPieces, ([, pieces]) => {
        const stream = new SentenceStream()
        let decided = 0
        for (const piece of pieces) {
          for (const { end } of stream.push(piece)) expect(end).toBeGreaterThanOrEqual(decided)
          decided = stream.decidedEnd
        }
      }),
      { numRuns: 200, endOnFailure: true },
    )
  })

  it('gives the same again from a copy, and the copy leaves the original alone', () => {
    fc.assert(
      fc.property(textInPieces, fc.nat(), ([text, pieces], seed) => {
        const stream = new SentenceStream()
        const at = seed % (pieces.length + 1)
        const before = pieces.slice(0, at).flatMap((piece) => stream.push(piece))
        const copy = stream.clone()
        copy.push('Some other words. And more.\n\n```\n')
        copy.end()
        const after = pieces.slice(at).flatMap((piece) => stream.push(piece))
        expect(plain([...before, ...after, ...stream.end()])).toEqual(sentences(text))
      }),
      { numRuns: 100, endOnFailure: true },
    )
  })

  it('closes a sentence at the first character of the next one', () => {
    const stream = new SentenceStream()
    expect(stream.push('It rains. ')).toEqual([])
    expect(plain(stream.push('W'))).toEqual([{ start: 0, end: 10, kind: 'prose' }])
    expect(stream.push('e stay.\n')).toEqual([])
    expect(stream.push('\n')).toEqual([])
    expect(plain(stream.push('"'))).toEqual([{ start: 10, end: 20, kind: 'prose' }])
    expect(stream.push('Is it?" ')).toEqual([]) // "Is it?" he would be one sentence
    expect(plain(stream.push('Y'))).toEqual([{ start: 20, end: 29, kind: 'prose' }])
  })

  it('tells where the sentences of one quotation end inside of the one that holds them together', () => {
    const stream = new SentenceStream()
    stream.push('"One. Two.\nThree." ')
    expect(stream.inner).toEqual([6, 11])
    expect(stream.push('Four.')).toEqual([{ start: 0, end: 19, kind: 'prose', openedAs: 'prose', inner: [6, 11] }])
    expect(stream.inner).toEqual([])
  })

  it('holds little text however long the line is', () => {
    const stream = new SentenceStream()
    for (let i = 0; i < 2000; i++) stream.push('word, '.repeat(20))
    expect(stream.decidedEnd).toBe(2000 * 120)
    expect(plain(stream.end())).toEqual([{ start: 0, end: 240000, kind: 'prose' }])
  })

  it('refuses text after the end and text that is no string', () => {
    const stream = new SentenceStream()
    expect(() => stream.push(null as never)).toThrow(OptionError)
    expect(() => stream.end(3 as never)).toThrow(OptionError)
    stream.end()
    expect(() => stream.push('a')).toThrow(DisposedError)
    expect(() => stream.end()).toThrow(DisposedError)
  })
})
