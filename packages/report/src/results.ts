import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KvasirError } from '@kvasir/core'
import { type CaseKey, type Estimate, summarise } from '@kvasir/eval'

/** One line of `results.jsonl`: its key, and what was measured by kind of value. Booleans count as 0 and 1. */
export interface CaseRow extends CaseKey {
  readonly numbers: Readonly<Record<string, number>>
  readonly texts: Readonly<Record<string, string>>
  /** [numLayers] each */
  readonly curves: Readonly<Record<string, readonly number[]>>
}

/** One row of `summary.json`. */
export interface GroupRow extends Omit<CaseKey, 'id'> {
  /** Of `pairs`. */
  readonly kind?: string
  readonly variant?: string
  readonly n: number
  readonly estimates: Readonly<Record<string, Estimate>>
}

/** What a results folder says. */
export interface Results {
  readonly cases: readonly CaseRow[]
  readonly groups: readonly GroupRow[]
  /** `run.json`: what all rows share. */
  readonly run: Readonly<Record<string, unknown>>
}

type Json = Readonly<Record<string, unknown>>

const keyFields = new Set(['suite', 'id', 'length', 'policy', 'budget', 'mode', 'n', 'ci95'])

/**
 * Reads what `kvasir eval --out` wrote. Without `summary.json` the groups are computed anew; lines and rows that are not
 * results are left out. Throws KvasirError if the folder has neither of the two files.
 */
export function readResults(folder: string): Results {
  const lines = readText(join(folder, 'results.jsonl'))
  const summary = readText(join(folder, 'summary.json'))
  if (lines === null && summary === null) {
    throw new KvasirError({ parameter: 'folder', expected: 'one with results.jsonl or summary.json', got: folder })
  }
  const run = parseJson(readText(join(folder, 'run.json')) ?? '{}')
  return parseResults((lines ?? '').split('\n').map(parseJson), summary === null ? null : parseJson(summary), run)
}

/** The same from parsed files; `summary` null where there is none. */
export function parseResults(lines: readonly unknown[], summary: unknown, run: unknown = {}): Results {
  const cases = lines.filter(isResult).map(caseOf)
  const groups = Array.isArray(summary) ? summary.filter(isResult).map(groupOf) : groupsOf(cases)
  return { cases, groups, run: isObject(run) ? run : {} }
}

function caseOf(row: Json): CaseRow {
  const fields = Object.entries(row).filter(([name]) => !keyFields.has(name))
  return {
    ...keyOf(row),
    id: String(row.id ?? ''),
    numbers: Object.fromEntries(
      fields.map(([name, value]) => [name, numberOf(value)] as const).filter((entry) => isNumberEntry(entry)),
    ),
    texts: Object.fromEntries(fields.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    curves: Object.fromEntries(fields.filter((entry): entry is [string, number[]] => isCurve(entry[1]))),
  }
}

function groupOf(row: Json): GroupRow {
  const intervals = isObject(row.ci95) ? row.ci95 : {}
  const estimates = Object.entries(row).flatMap(([name, mean]): [string, Estimate][] =>
    keyFields.has(name) || !isNumber(mean) ? [] : [[name, { mean, ci95: intervalOf(intervals[name]) }]],
  )
  return { ...keyOf(row), ...sortOf(row), n: isNumber(row.n) ? row.n : 1, estimates: Object.fromEntries(estimates) }
}

function groupsOf(cases: readonly CaseRow[]): GroupRow[] {
  const rows = summarise(
    cases.map(({ numbers, texts, suite, id, length, policy, budget, mode }) => ({
      ...numbers,
      ...(suite === 'pairs' && texts),
      ...{ suite, id, length, policy, budget, mode },
    })),
  )
  return rows.map(({ suite, length, policy, budget, mode, n, estimates, ...row }) => {
    return { suite, length, policy, budget, mode, ...sortOf({ ...row }), n, estimates }
  })
}

function keyOf(row: Json): Omit<CaseKey, 'id'> {
  return {
    suite: String(row.suite),
    length: isNumber(row.length) ? row.length : 0,
    policy: String(row.policy),
    budget: isNumber(row.budget) ? row.budget : null,
    mode: typeof row.mode === 'string' ? row.mode : null,
  }
}

function sortOf({ kind, variant }: Json): Pick<GroupRow, 'kind' | 'variant'> {
  return { ...(typeof kind === 'string' && { kind }), ...(typeof variant === 'string' && { variant }) }
}

function intervalOf(value: unknown): readonly [number, number] | null {
  return Array.isArray(value) && value.length === 2 && value.every(isNumber) ? [value[0], value[1]] : null
}

function isResult(value: unknown): value is Json {
  return isObject(value) && typeof value.suite === 'string' && typeof value.policy === 'string'
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isCurve(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every(isNumber)
}

function isNumberEntry(entry: readonly [string, number | null]): entry is readonly [string, number] {
  return entry[1] !== null
}

function numberOf(value: unknown): number | null {
  if (typeof value === 'boolean') return Number(value)
  return isNumber(value) ? value : null
}

function readText(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

/** Null for text that is not JSON: the last line of a run that was cut short. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
