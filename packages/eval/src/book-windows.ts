import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import type { Tokenizer } from '@kvasir/llama'
import { findData, readJsonLines } from './data-folder.ts'
import type { CaseFilter, CaseList, WindowCase } from './eval-case.ts'

/** One line of `books/windows.jsonl`. */
interface WindowRecord {
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

/** The first `limit` windows of `books/windows.jsonl`, as far as their books are there, at each length. */
export function listWindowCases(dataDir: string, { lengths = [2048], limit }: CaseFilter): CaseList {
  const list = join('books', 'windows.jsonl')
  const path = findData(dataDir, list)
  if (path === null) return { cases: [], missing: [join(dataDir, list)] }
  const missing = new Set<string>()
  const windows = readJsonLines<WindowRecord>(path).flatMap(({ id, book, anchor }) => {
    const found = findData(dataDir, book)
    if (found !== null) return [{ suite: 'windows', id, mode: null, path: found, anchor } as const]
    missing.add(join(dataDir, book))
    return []
  })
  const kept = windows.slice(0, limit)
  return { cases: lengths.flatMap((length) => kept.map((window) => ({ ...window, length }))), missing: [...missing] }
}

/**
 * Context: the tokens of the 60,000 characters before the anchor, as one string. Prompt: the `length` of them that end
 * just before the last one. Fed: that last one and the first 255 of the continuation, which is scored. Every scored
 * position so goes through a decode step. Throws OptionError where the text before the anchor is too short.
 */
export function windowTokens(
  { id, path, anchor, length }: WindowCase,
  tokenizer: Pick<Tokenizer, 'encode'>,
  text = readFileSync(path, 'utf8'),
): WindowTokens {
  const context = tokenizer.encode(text.slice(Math.max(0, anchor - contextChars), anchor))
  const continuation = tokenizer.encode(text.slice(anchor, anchor + continuationChars))
  const targets = continuation.slice(0, scoredTokens)
  const last = context.length - 1
  if (last < length || targets.length === 0) {
    throw new OptionError({
      parameter: 'length',
      expected: `at most the ${Math.max(0, last)} tokens of context that window ${id} has`,
      got: length,
    })
  }
  const fed = Int32Array.from([context[last], ...targets.subarray(0, -1)])
  return { prompt: context.slice(last - length, last), fed, targets }
}
