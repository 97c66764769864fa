import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import type { Tokenizer } from '@kvasir/llama'

/** One place in a book: the text before `anchor` is context, the text from it on is scored. */
export interface BookWindow {
  readonly id: string
  /** Path of the text, below the folder that holds `books/`. */
  readonly book: string
  /** Character offset. */
  readonly anchor: number
}

/** Tokens of one window: `prompt` is prefilled; `fed[t]` is decoded to predict `targets[t]`. */
export interface WindowTokens {
  readonly prompt: Int32Array
  readonly fed: Int32Array
  readonly targets: Int32Array
}

const contextChars = 60_000
const continuationChars = 3_000
/** Tokens scored of each window. */
export const scoredTokens = 256

const listFile = join('books', 'windows.jsonl')

/** What the windows suite finds below a data folder. */
export interface BookWindowList {
  /** Holds `books/`: the data folder itself or its `open/`. */
  readonly folder: string
  readonly windows: readonly BookWindow[]
  /** Files that are not there; their windows are left out. */
  readonly missing: readonly string[]
}

/** The windows of `books/windows.jsonl` in file order, as far as their books are there. */
export function readBookWindows(dataDir: string): BookWindowList {
  const folder = [dataDir, join(dataDir, 'open')].find((path) => existsSync(join(path, listFile)))
  if (folder === undefined) return { folder: dataDir, windows: [], missing: [join(dataDir, listFile)] }
  const lines = readFileSync(join(folder, listFile), 'utf8').trim().split('\n')
  const windows = lines.map((line) => JSON.parse(line) as BookWindow)
  const isThere = ({ book }: BookWindow) => existsSync(join(folder, book))
  const missing = new Set(windows.filter((window) => !isThere(window)).map(({ book }) => join(folder, book)))
  return { folder, windows: windows.filter(isThere), missing: [...missing] }
}

/** The text of the book that a window is cut from. */
export function readBook(folder: string, window: BookWindow): string {
  return readFileSync(join(folder, window.book), 'utf8')
}

/**
 * Context: the tokens of the 60,000 characters before the anchor, as one string. Prompt: the `length` of them that end
 * just before the last one. Fed: that last one and the first 255 of the continuation, which is scored. Every scored
 * position so goes through a decode step. Throws OptionError where the text before the anchor is too short.
 */
export function windowTokens(
  text: string,
  window: BookWindow,
  tokenizer: Pick<Tokenizer, 'encode'>,
  length: number,
): WindowTokens {
  const context = tokenizer.encode(text.slice(Math.max(0, window.anchor - contextChars), window.anchor))
  const continuation = tokenizer.encode(text.slice(window.anchor, window.anchor + continuationChars))
  const targets = continuation.slice(0, scoredTokens)
  const last = context.length - 1
  if (last < length || targets.length === 0) {
    throw new OptionError({
      parameter: 'length',
      expected: `at most the ${Math.max(0, last)} tokens of context that window ${window.id} has`,
      got: length,
    })
  }
  const fed = Int32Array.from([context[last], ...targets.subarray(0, -1)])
  return { prompt: context.slice(last - length, last), fed, targets }
}
