import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KvasirError } from '@kvasir/core'

/** A file by its path below the data folder, its `open/` or its `restricted/`, whichever has it; null where none has. */
export function findData(dataDir: string, path: string): string | null {
  return findAllData(dataDir, path)[0] ?? null
}

/** The same of all three. */
export function findAllData(dataDir: string, path: string): string[] {
  return ['', 'open', 'restricted'].map((part) => join(dataDir, part, path)).filter((found) => existsSync(found))
}

/** The objects of a `.jsonl` file, one a line. Throws KvasirError that names a line which is none. */
export function readJsonLines<T>(path: string): T[] {
  return parseJsonLines(readFileSync(path, 'utf8'), path)
}

/** The same of a text; `path` is where it comes from. */
export function parseJsonLines<T>(text: string, path: string): T[] {
  return text.split('\n').flatMap((line, at) => {
    if (line.trim() === '') return []
    try {
      return [JSON.parse(line) as T]
    } catch (cause) {
      throw new KvasirError({
        parameter: `${path}:${at + 1}`,
        expected: 'a line of JSON',
        got: line.slice(0, 80),
        cause,
      })
    }
  })
}
