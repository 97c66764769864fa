import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A file by its path below the data folder, its `open/` or its `restricted/`, whichever has it; null where none has. */
export function findData(dataDir: string, path: string): string | null {
  return findAllData(dataDir, path)[0] ?? null
}

/** The same of all three. */
export function findAllData(dataDir: string, path: string): string[] {
  return ['', 'open', 'restricted'].map((part) => join(dataDir, part, path)).filter((found) => existsSync(found))
}

/** The objects of a `.jsonl` file, one a line. */
export function readJsonLines<T>(path: string): T[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as T)
}
