import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { vocabularyMetadata } from '../test-fixtures/vocabulary.ts'
import { TextStream } from './text-stream.ts'
import { readTokenizer } from './tokenizer/read-tokenizer.ts'

const MERGES = ['Ã ©', 'ð Ł', 'ĺ Ģ', 'a Ã']
const tokenizer = readTokenizer({ metadata: vocabularyMetadata({ merges: MERGES, control: ['<s>'] }) })!

function pieces(ids: Iterable<number>, stream = new TextStream(tokenizer)): string[] {
  return [...Array.from(ids, (id) => stream.push(id)), stream.end()]
}

describe('TextStream', () => {
  it('gives pieces that join to what decode gives, for any ids', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 40 }), (ids) => {
        const bytes = Buffer.concat(
          ids.filter((id) => tokenizer.tokenKind(id) === 'normal').map((id) => tokenizer.tokenBytes(id)),
        )
        const whole = bytes.toString('utf8')
        expect(pieces(ids).join('')).toBe(whole)
        expect(tokenizer.decode(ids)).toBe(whole)
      }),
      { numRuns: 3000 },
    )
  })

  it('peeks at the text of one token, and goes on as if it had not', () => {
    const stream = new TextStream(tokenizer)
    const [first, second, other] = [0xc3, 0xa9, 0x61].map(idOfByte)
    expect([stream.peek(first), stream.peek(other)]).toEqual(['\uFFFD', 'a'])
    stream.push(first)
    expect(stream.peek(other)).toBe('a')
    expect(stream.push(second)).toBe('é')
  })

  it('never gives half a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        const parts = pieces(tokenizer.encode(text))
        expect(parts.join('')).toBe(text)
        for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u)
        if (!text.includes('\ufffd')) expect(parts.some((part) => part.includes('\ufffd'))).toBe(false)
      }),
    )
  })

  it('holds a character back until it is whole', () => {
    const bytes = Array.from(Buffer.from('a😀b'), idOfByte)
    expect(pieces(bytes)).toEqual(['a', '', '', '', '😀', 'b', ''])
  })

  it('gives U+FFFD at the end for a character that never became whole, and starts afresh', () => {
    const stream = new TextStream(tokenizer)
    const [first, second] = Array.from(Buffer.from('é'), idOfByte)
    expect(pieces([first], stream)).toEqual(['', '\ufffd'])
    expect(pieces([first, second], stream)).toEqual(['', 'é', ''])
  })

  it('resumes after any ids as if it had been given them', () => {
    const bytes = fc.uint8Array({ maxLength: 20 }).map((some) => Array.from(some, idOfByte))
    const text = fc.string({ unit: 'binary', maxLength: 8 }).map((some) => Array.from(Buffer.from(some), idOfByte))
    const ids = fc.oneof(bytes, text)
    fc.assert(
      fc.property(ids, ids, fc.nat(30), (before, after, length) => {
        const stream = new TextStream(tokenizer)
        for (const id of before) stream.push(id)
        stream.resume(before.slice(0, length))
        const given = new TextStream(tokenizer)
        for (const id of before.slice(0, length)) given.push(id)
        expect(pieces(after, stream)).toEqual(pieces(after, given))
      }),
      { numRuns: 2000 },
    )
  })

  it('spells control tokens only when asked, and keeps U+FEFF', () => {
    const control = tokenizer.encode('<s>', { specialTokens: true })[0]
    expect(pieces([control])).toEqual(['', ''])
    expect(pieces([control], new TextStream(tokenizer, { specialTokens: true }))).toEqual(['<s>', ''])
    expect(pieces(tokenizer.encode('\ufeffa')).join('')).toBe('\ufeffa')
  })

  it('refuses unknown options and ids', () => {
    expect(() => new TextStream(tokenizer, { skipSpecial: true } as object)).toThrow('specialTokens')
    expect(() => new TextStream(tokenizer).push(tokenizer.vocabSize)).toThrow('id')
  })
})

/** In the test vocabulary the id of a byte's own token is the byte. */
function idOfByte(byte: number): number {
  return byte
}
