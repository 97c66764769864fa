import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const skippedFolders = new Set(['node_modules', 'dist', 'build', '.turbo', '.snippets'])

/**
 * Summarises the state of files by path, size and time of change. Reads no contents, so it takes milliseconds.
 * @param {string[]} paths files and folders, relative to the current folder; those that do not exist count as absent
 * @param {(path: string) => boolean} keeps which of the files found count
 * @returns {string} a hexadecimal key
 */
export function fileKey(paths, keeps) {
  const hash = createHash('sha256').update(`${process.version} ${process.arch}`)
  for (const path of paths.flatMap(listFiles).filter(keeps)) {
    const { size, mtimeMs } = statSync(path)
    hash.update(`\n${path} ${size} ${mtimeMs}`)
  }
  return hash.digest('hex')
}

/** @returns {string | undefined} the key that a step left when it last succeeded */
export function readStamp(name) {
  try {
    return readFileSync(stampPath(name), 'utf8')
  } catch {
    return undefined
  }
}

export function writeStamp(name, key) {
  const path = stampPath(name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, key)
}

function stampPath(name) {
  return join('node_modules', '.cache', 'kvasir', `${name}.stamp`)
}

function listFiles(path) {
  const entry = statSync(path, { throwIfNoEntry: false })
  if (!entry) return []
  if (!entry.isDirectory()) return [path]
  return readdirSync(path)
    .sort()
    .filter((name) => !skippedFolders.has(name))
    .flatMap((name) => listFiles(`${path}/${name}`))
}
