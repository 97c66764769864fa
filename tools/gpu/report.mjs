// node report.mjs ROWS... DIR: makes the two files of a GPU run, DATE-DEVICE.json and .md, from the rows that run.sh wrote; of
// several files of one device, such as those of the parts of a run, a later one's row takes the place of an earlier one's.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { againstRivals } from './rivals.mjs'

/**
 * Reads rows, one JSON object a line. A last line that was cut off, as by a stop in the middle, is left out.
 * @param {string} text
 * @returns {Record<string, unknown>[]}
 */
export function parseRows(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.flatMap((line, index) => {
    try {
      return [JSON.parse(line)]
    } catch (error) {
      if (index === lines.length - 1) return []
      throw new Error(`rows, line ${index + 1}: expected JSON, got '${line.slice(0, 60)}'`, { cause: error })
    }
  })
}

/**
 * Rows without those that a later one replaces: of the same kind, about the same.
 * @param {Record<string, unknown>[]} rows
 * @returns {Record<string, unknown>[]}
 */
export function latestRows(rows) {
  const latest = new Map()
  for (const row of rows) {
    const key = JSON.stringify([row.step, row.kind, row.name, row.family, row.shape, row.rival])
    latest.delete(key)
    latest.set(key, row)
  }
  return [...latest.values()]
}

/**
 * Sorts rows into one object.
 * @param {Record<string, unknown>[]} rows
 * @returns what the JSON file holds
 */
export function collect(rows) {
  const rivals = againstRivals(rows)
  const of = (kind) => rows.filter((row) => row.kind === kind).map(({ kind: _, ...rest }) => rest)
  const facts = Object.fromEntries(of('fact').map(({ name, value }) => [name, value]))
  const judged = [...rows, ...rivals].filter((row) => row.verdict !== undefined)
  const count = (verdict) => judged.filter((row) => row.verdict === verdict).length
  return {
    version: 1,
    date: facts.date ?? null,
    device: facts.device ?? null,
    library: facts.library ?? null,
    facts,
    verdicts: { goal: count('goal'), gate: count('gate'), missed: count('missed'), wrong: of('wrong').length },
    steps: of('step'),
    ceilings: of('ceiling').map(({ step: _, ...rest }) => rest),
    timings: of('timing'),
    values: of('value'),
    rivals: rivals.map(({ kind: _, step: __, ...rest }) => rest),
    wrong: of('wrong'),
    notRun: of('notRun'),
  }
}

/** @returns {string} the files' name without its ending, such as 2027-01-31-nvidia-h100-80gb-hbm3 */
export function reportName({ date, device }) {
  if (!date || !device)
    throw new Error('rows: expected the facts date and device, got none. Remedy: rows of a whole run')
  return `${date}-${slug(device)}`
}

function slug(text) {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
}

/**
 * @param {ReturnType<typeof collect>} results
 * @returns {string} the page
 */
export function toMarkdown(results) {
  const { verdicts } = results
  const parts = [
    `# ${results.device}, ${results.date}`,
    `Library \`${results.library}\`. Of the targets of [the kernels](../../gpu.md#targets): ${verdicts.goal} at the goal, ${verdicts.gate} between gate and goal, ${verdicts.missed} below the gate; ${verdicts.wrong} wrong answers. A ratio is the median of slices that each stand between two runs of their roof; quartiles in brackets.`,
    section('Device', table(['fact', 'value'], Object.entries(results.facts))),
    section(
      'Steps',
      table(
        ['step', 'ended', 'seconds', 'last line'],
        results.steps.map((step) => [step.step, endOf(step.code), step.seconds, step.last]),
      ),
    ),
    section(
      'Ceilings',
      table(
        ['ceiling', 'value'],
        results.ceilings.map((row) => [row.name, `${short(row.value)} ${row.unit}`]),
      ),
    ),
    ...groupBy(results.timings, (row) => row.family).map(([family, rows]) => section(family, timingTable(rows))),
    section(
      'Other numbers',
      table(
        ['what', 'value', 'gate', 'goal', ''],
        results.values.map((row) => [
          `${row.family}: ${row.shape}`,
          `${short(row.value)} ${row.unit}`,
          ...targetCells(row),
        ]),
      ),
    ),
    section(
      'Against others',
      table(
        ['what', 'rival', 'its us', 'own us', 'times as fast', 'gate', 'goal', ''],
        results.rivals.map((row) => [
          `${row.family}: ${row.shape}`,
          row.rival,
          ...(row.why
            ? ['', '', `not run (${row.why})`, '', '', '']
            : [short(row.micros), short(row.ownMicros), short(row.ratio), ...targetCells(row)]),
        ]),
      ),
    ),
    section(
      'Wrong answers',
      table(
        ['case', 'what'],
        results.wrong.map((row) => [`${row.family}: ${row.shape}`, row.why]),
      ),
    ),
    section(
      'Not run',
      table(
        ['case', 'why'],
        results.notRun.map((row) => [`${row.family}: ${row.shape}`, row.why]),
      ),
    ),
  ]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

function timingTable(rows) {
  return table(
    ['shape', 'us', 'rate', 'of', 'ratio', 'gate', 'goal', ''],
    rows.map((row) => [
      row.shape,
      short(row.micros),
      `${short(row.rate)} ${row.unit}`,
      row.roof ? `${row.roof} ${short(row.roofRate)}` : '',
      row.roof ? `${row.ratio.toFixed(2)} (${row.ratioLow.toFixed(2)}-${row.ratioHigh.toFixed(2)})` : '',
      ...targetCells(row),
    ]),
  )
}

function targetCells(row) {
  if (row.verdict === undefined) return ['', '', '']
  const unit = row.latency
    ? ` ${row.kind === 'timing' || row.micros !== undefined ? 'us' : row.unit.split(' ')[0]}`
    : ''
  return [`${row.gate}${unit}`, `${row.goal}${unit}`, row.verdict]
}

function endOf(code) {
  if (code === 0) return 'ok'
  return code === 3 ? 'not run' : `failed (${code})`
}

/** Three digits that count. */
function short(value) {
  return value === null ? '-' : String(Number(value.toPrecision(3)))
}

function section(title, body) {
  return body === '' ? '' : `## ${title}\n\n${body}`
}

function table(head, rows) {
  if (rows.length === 0) return ''
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function groupBy(rows, keyOf) {
  const groups = new Map()
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row])
  return [...groups]
}

function main(paths) {
  const folder = paths.pop()
  const results = collect(latestRows(paths.flatMap((path) => parseRows(readFileSync(path, 'utf8')))))
  const path = join(folder, reportName(results))
  mkdirSync(folder, { recursive: true })
  write(`${path}.json`, `${JSON.stringify(results, null, 1)}\n`)
  write(`${path}.md`, toMarkdown(results))
  console.log(`${path}.json\n${path}.md`)
}

/** In one go: a stop in the middle leaves the file that was there. */
function write(path, text) {
  writeFileSync(`${path}.part`, text)
  renameSync(`${path}.part`, path)
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) main(process.argv.slice(2))
