import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Tokenizer } from '@kvasir/llama'

/** One place in a book: the text before `anchor` is context, the text from it on is scored. */
export interface BookWindow {
  readonly id: string
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

/** The windows of `books/windows.jsonl` below a data folder (its `open` folder or the one above); null if not there. */
export function readBookWindows(dataDir: string): { folder: string; windows: BookWindow[] } | null {
  const folder = [join(dataDir, 'books'), join(dataDir, 'open', 'books')].find((path) =>
    existsSync(join(path, 'windows.jsonl')),
  )
  if (!folder) return null
  const lines = readFileSync(join(folder, 'windows.jsonl'), 'utf8').trim().split('\n')
  return { folder, windows: lines.map((line) => JSON.parse(line) as BookWindow) }
}

/**
 * Context: the tokens of the 60,000 characters before the anchor, as one string. Prompt: the `length` of them that end
 * just before the last one. Fed: that last one and the first 255 of the continuation, which is scored. Every scored
 * position so goes through a decode step.
 */
export function windowTokens(folder: string, window: BookWindow, tokenizer: Tokenizer, length: number): WindowTokens {
  const text = readFileSync(join(folder, `${window.book}.txt`), 'utf8')
  const context = tokenizer.encode(text.slice(Math.max(0, window.anchor - contextChars), window.anchor))
  const continuation = tokenizer.encode(text.slice(window.anchor, window.anchor + continuationChars))
  const targets = continuation.slice(0, scoredTokens)
  const lastContext = context.length - 1
  const fed = Int32Array.from([context[lastContext] as number, ...targets.subarray(0, targets.length - 1)])
  return { prompt: context.slice(Math.max(0, lastContext - length), lastContext), fed, targets }
}
