import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readBook, readBookWindows, windowTokens } from './book-windows.ts'

/** One token a character; none of 50,000 in a row is like another. */
const tokenizer = { encode: (text: string) => Int32Array.from(text, (character) => character.charCodeAt(0)) }
const text = Array.from({ length: 70_000 }, (_, i) => String.fromCharCode(i % 50_000)).join('')
const codesOf = (start: number, end: number) => [...tokenizer.encode(text.slice(start, end))]

test('the prompt ends before the last context token, which is fed first; the continuation is scored', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 69_000 }), fc.integer({ min: 1, max: 999 }), (anchor, length) => {
      const { prompt, fed, targets } = windowTokens(text, { id: 'a', book: '', anchor }, tokenizer, length)
      expect([...prompt]).toEqual(codesOf(anchor - 1 - length, anchor - 1))
      expect([...targets]).toEqual(codesOf(anchor, anchor + 256))
      expect([...fed]).toEqual(codesOf(anchor - 1, anchor + 255))
    }),
    { numRuns: 20 },
  )
})

test('a book that ends early is scored as far as it goes', () => {
  const window = { id: 'a', book: '', anchor: text.length - 3 }
  const { fed, targets } = windowTokens(text, window, tokenizer, 8)
  expect([fed.length, targets.length]).toEqual([3, 3])
})

test('more context than there is before the anchor, or nothing after it, is refused', () => {
  const window = { id: 'a', book: '', anchor: 100 }
  expect(windowTokens(text, window, tokenizer, 99).prompt).toHaveLength(99)
  expect(() => windowTokens(text, window, tokenizer, 100)).toThrow(/at most the 99 tokens.*got 100/)
  expect(() => windowTokens(text, { ...window, anchor: text.length }, tokenizer, 8)).toThrow(OptionError)
})

test('windows are found in the folder or its open/, and what is missing is named', () => {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-books-'))
  const open = join(root, 'open')
  mkdirSync(join(open, 'books'), { recursive: true })
  const windows = ['x', 'y'].map((name) => ({ id: `${name}-0`, book: `books/${name}.txt`, anchor: 5 }))
  writeFileSync(join(open, 'books', 'windows.jsonl'), windows.map((window) => `${JSON.stringify(window)}\n`).join(''))
  writeFileSync(join(open, 'books', 'x.txt'), 'It was.')
  const found = { folder: open, windows: [windows[0]], missing: [join(open, 'books/y.txt')] }
  expect(readBookWindows(root)).toEqual(found)
  expect(readBookWindows(open)).toEqual(found)
  expect(readBook(open, windows[0])).toBe('It was.')
  cpSync(join(open, 'books', 'x.txt'), join(open, 'books', 'y.txt'))
  expect(readBookWindows(root)).toEqual({ folder: open, windows, missing: [] })
  rmSync(open, { recursive: true })
  expect(readBookWindows(root)).toMatchObject({ windows: [], missing: [join(root, 'books/windows.jsonl')] })
})
