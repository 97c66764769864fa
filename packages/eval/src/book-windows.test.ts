import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { listWindowCases, windowTokens } from './book-windows.ts'

/** One token a character; none of 50,000 in a row is like another. */
const tokenizer = { encode: (text: string) => Int32Array.from(text, (character) => character.charCodeAt(0)) }
const text = Array.from({ length: 70_000 }, (_, i) => String.fromCharCode(i % 50_000)).join('')
const codesOf = (start: number, end: number) => [...tokenizer.encode(text.slice(start, end))]
const windowOf = (anchor: number, length: number) =>
  ({ suite: 'windows', id: 'a', mode: null, path: '', anchor, length }) as const

test('the prompt ends before the last context token, which is fed first; the continuation is scored', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 69_000 }), fc.integer({ min: 1, max: 999 }), (anchor, length) => {
      const { prompt, fed, targets } = windowTokens(windowOf(anchor, length), tokenizer, text)
      expect([...prompt]).toEqual(codesOf(anchor - 1 - length, anchor - 1))
      expect([...targets]).toEqual(codesOf(anchor, anchor + 256))
      expect([...fed]).toEqual(codesOf(anchor - 1, anchor + 255))
    }),
    { numRuns: 20 },
  )
})

test('a book that ends early is scored as far as it goes', () => {
  const { fed, targets } = windowTokens(windowOf(text.length - 3, 8), tokenizer, text)
  expect([fed.length, targets.length]).toEqual([3, 3])
})

test('more context than there is before the anchor, or nothing after it, is refused', () => {
  expect(windowTokens(windowOf(100, 99), tokenizer, text).prompt).toHaveLength(99)
  expect(() => windowTokens(windowOf(100, 100), tokenizer, text)).toThrow(/at most the 99 tokens.*got 100/)
  expect(() => windowTokens(windowOf(text.length, 8), tokenizer, text)).toThrow(OptionError)
})

test('windows are found in the folder or its open/, and what is missing is named', () => {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-books-'))
  const open = join(root, 'open')
  mkdirSync(join(open, 'books'), { recursive: true })
  const records = ['x', 'y'].map((name) => ({ id: `${name}-0`, book: `books/${name}.txt`, anchor: 5 }))
  writeFileSync(join(open, 'books', 'windows.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''))
  writeFileSync(join(open, 'books', 'x.txt'), 'It was.')
  const x = { suite: 'windows', id: 'x-0', mode: null, path: join(open, 'books/x.txt'), anchor: 5 }
  const cases = [8, 9].map((length) => ({ ...x, length }))
  expect(listWindowCases(root, { lengths: [8, 9] })).toEqual({ cases, missing: [join(root, 'books/y.txt')] })
  expect(listWindowCases(open, { lengths: [8, 9] })).toEqual({ cases, missing: [join(open, 'books/y.txt')] })
  writeFileSync(join(open, 'books', 'y.txt'), 'It is.')
  expect(listWindowCases(root, { lengths: [8] }).cases.map(({ id }) => id)).toEqual(['x-0', 'y-0'])
  expect(listWindowCases(root, { lengths: [8, 9], limit: 1 })).toEqual({ cases, missing: [] })
  rmSync(open, { recursive: true })
  expect(listWindowCases(root, {})).toEqual({ cases: [], missing: [join(root, 'books/windows.jsonl')] })
})
