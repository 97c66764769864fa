import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import { parseJsonLines } from './data-folder.ts'

/** Which case, policy and budget a result belongs to. */
export interface CaseKey {
  readonly suite: string
  readonly id: string
  readonly length: number
  readonly policy: string
  readonly budget: number | null
  readonly mode: string | null
}

/** What all results of one folder share: names and numbers by which two runs can be told apart. */
export type RunIdentity = Readonly<Record<string, string | number>>

/** Results of one folder, in the order in which they came. */
export interface ResultsFile {
  readonly rows: readonly CaseKey[]
  /** True if there is a result for this case, policy and budget. */
  has(key: CaseKey): boolean
  /** Adds one line to `results.jsonl`, at once and whole. */
  append(row: CaseKey): void
  /** Writes another JSON file of the folder, an array a line an element; a reader sees the old one or the new one. */
  writeJson(name: string, value: object): void
  /** Writes another text file of the folder; a reader sees the old one or the new one. */
  writeText(name: string, text: string): void
}

/**
 * Opens the results in a folder, which it makes if need be. An interrupted run goes on: its rows are there, and a line
 * cut short by a crash is dropped. Throws OptionError if the folder's `run.json` says that another run made it.
 */
export function openResults(folder: string, identity: RunIdentity): ResultsFile {
  mkdirSync(folder, { recursive: true })
  checkIdentity(folder, identity)
  const path = join(folder, 'results.jsonl')
  const rows = readRows(path)
  const keys = new Set(rows.map(keyText))
  return {
    rows,
    has: (key) => keys.has(keyText(key)),
    append: (row) => {
      // One write of one line: a signal arrives before or after it.
      appendFileSync(path, `${JSON.stringify(row)}\n`)
      rows.push(row)
      keys.add(keyText(row))
    },
    writeJson: (name, value) => writeJson(join(folder, name), value),
    writeText: (name, text) => writeWhole(join(folder, name), text),
  }
}

function checkIdentity(folder: string, identity: RunIdentity): void {
  const path = join(folder, 'run.json')
  if (!existsSync(path)) {
    writeJson(path, identity)
    return
  }
  const before = JSON.parse(readFileSync(path, 'utf8')) as RunIdentity
  for (const name of Object.keys({ ...before, ...identity })) {
    if (before[name] === identity[name]) continue
    const show = (value: string | number | undefined) => (value === undefined ? 'none' : value)
    throw new OptionError({
      parameter: folder,
      expected: `results of a run with ${name} ${show(identity[name])}`,
      got: `one with ${show(before[name])}`,
      remedy: 'Give another folder for this run.',
    })
  }
}

function readRows(path: string): CaseKey[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole))
  return parseJsonLines(whole, path)
}

function writeJson(path: string, value: object): void {
  const lines = Array.isArray(value) ? value.map((element) => JSON.stringify(element)).join(',\n') : null
  writeWhole(path, lines === null ? `${JSON.stringify(value, null, 2)}\n` : `[\n${lines}\n]\n`)
}

function writeWhole(path: string, text: string): void {
  const draft = `${path}.${process.pid}.tmp`
  writeFileSync(draft, text)
  renameSync(draft, path)
}

function keyText({ suite, id, length, policy, budget, mode }: CaseKey): string {
  return JSON.stringify([suite, id, length, policy, budget, mode])
}
