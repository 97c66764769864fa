import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'

/** One change that an author makes: other words in one place, or two paragraphs that change places. */
export type Edit =
  | { readonly what: string; readonly find: string; readonly replace: string }
  | {
      readonly what: string
      /** How the two paragraphs begin. */
      readonly swap: readonly [string, string]
    }

/** How a later version of the long document differs, and a question whose answer is another there. */
export interface NearCopy {
  readonly question: string
  /** What an answer from the later version contains, and what it must not: the earlier fact. */
  readonly expects: string
  readonly formerly: string
  readonly edits: readonly Edit[]
}

/** The later version that comes with the command. */
export function readNearCopy(): NearCopy {
  return JSON.parse(readFileSync(join(import.meta.dirname, '..', 'assets', 'near-copy.json'), 'utf8'))
}

/** The text after all edits, in order. Throws OptionError for one whose place is not in the text exactly once. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  return edits.reduce((edited, edit) => ('swap' in edit ? swap(edited, edit.swap) : replace(edited, edit)), text)
}

function replace(text: string, { find, replace }: { readonly find: string; readonly replace: string }): string {
  const start = placeOf(text, find)
  return text.slice(0, start) + replace + text.slice(start + find.length)
}

function swap(text: string, starts: readonly [string, string]): string {
  const [first, second] = starts
    .map((start) => placeOf(text, start))
    .sort((a, b) => a - b)
    .map((start) => ({ start, end: endOfParagraph(text, start) }))
  const between = text.slice(first.end, second.start)
  const swapped = text.slice(second.start, second.end) + between + text.slice(first.start, first.end)
  return text.slice(0, first.start) + swapped + text.slice(second.end)
}

function endOfParagraph(text: string, start: number): number {
  const end = text.indexOf('\n\n', start)
  return end < 0 ? text.length : end
}

function placeOf(text: string, find: string): number {
  const start = text.indexOf(find)
  if (start >= 0 && text.indexOf(find, start + 1) < 0) return start
  const got = start < 0 ? 'none' : 'more than one'
  throw new OptionError({ parameter: 'edits', expected: `one place in the text with "${find}"`, got })
}
