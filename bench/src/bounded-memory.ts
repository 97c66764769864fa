import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { kvBytesPerToken } from '@kvasir/core'
import { fileTier } from '@kvasir/tier'
import type { Bench } from './bench.ts'
import type { BoundedOutcome, BoundedTask } from './bounded-memory-child.ts'
import type { BenchRow } from './report.ts'
import { hotBytesOf } from './tiers.ts'

const maxTokens = 32
const budgetTokens = 256
/** Share of the full KV that the bounded processes may have on top of what a short prompt takes. */
const share = 0.55

/**
 * The same prompt in processes whose private memory the system bounds (RLIMIT_DATA): to what a process with a short prompt
 * takes, and about half of the prompt's KV. With all rows in memory it must fail; from a file it must answer as it does
 * without a bound. Linux with `prlimit` alone; elsewhere no rows.
 */
export async function benchBoundedMemory(bench: Bench, length: number): Promise<BenchRow[]> {
  const { model, modelPath, kernels, tokens, progress } = bench
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-bench-'))
  const path = join(folder, 'kv')
  const kvBytes = kvBytesPerToken(model.profile.shape, 2) * length
  const hotBytes = hotBytesOf('file', model.config, budgetTokens)
  const task = {
    model: modelPath,
    threads: kernels.numThreads,
    maxTokens,
    policy: 'sentence-kv',
    budgetTokens,
    tokens: [...tokens.subarray(0, length)],
    kvTier: null,
  } satisfies BoundedTask
  const kvTier = { lower: fileTier({ path, direct: true }), hotBytes }
  try {
    progress(`bounded memory ${length}, unbounded`)
    const base = await run({ ...task, tokens: task.tokens.slice(0, 600) }, null)
    if (base?.dataBytes == null) return []
    const free = await run(task, null)
    const limitBytes = Math.round(base.dataBytes + share * kvBytes)
    progress(`bounded memory ${length}, all rows in memory`)
    const full = await run(task, limitBytes)
    progress(`bounded memory ${length}, rows in a file`)
    const tiered = await run({ ...task, kvTier }, limitBytes)
    const shape = `length=${length},limitMB=${mega(limitBytes)},kvMB=${mega(kvBytes)},hotMB=${mega(hotBytes)}`
    const same = tiered?.ids.filter((id, at) => id === free?.ids[at]).length ?? 0
    return [
      answerRow('bounded memory, rows in memory', shape, full),
      {
        ...answerRow('bounded memory, rows in a file', shape, tiered),
        theirs: same,
        against: 'unbounded, same tokens',
      },
      { ...memoryRow(shape, tiered, free), pairs: 1 },
    ]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function answerRow(name: string, shape: string, outcome: BoundedOutcome | null): BenchRow {
  const unit = `of ${maxTokens} tokens answered`
  const note = outcome === null ? 'ended without a word' : outcome.error
  return { name, shape, unit, ours: outcome?.ids.length ?? 0, pairs: 1, ...(note && { note }) }
}

function memoryRow(
  shape: string,
  bounded: BoundedOutcome | null,
  free: BoundedOutcome | null,
): Omit<BenchRow, 'pairs'> {
  const [ours, theirs] = [bounded?.peakRssBytes ?? Number.NaN, free?.peakRssBytes ?? Number.NaN]
  const label = { name: 'bounded memory, peak resident', shape, unit: 'MB', against: 'rows in memory, unbounded' }
  return { ...label, ours: ours / 1e6, theirs: theirs / 1e6, ratio: theirs / ours }
}

function mega(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

/** null where the process ended without a word. */
function run(task: BoundedTask, limitBytes: number | null): Promise<BoundedOutcome | null> {
  const script = fileURLToPath(new URL(`./bounded-memory-child${extname(import.meta.url)}`, import.meta.url))
  const node = [process.execPath, ...process.execArgv, script]
  const [command, ...args] = limitBytes === null ? node : ['prlimit', `--data=${limitBytes}`, ...node]
  const child = spawn(command as string, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  return new Promise((resolve) => {
    let outcome: BoundedOutcome | null = null
    child.on('message', (message) => {
      outcome = message as BoundedOutcome
    })
    child.on('error', () => resolve(null))
    child.on('exit', () => resolve(outcome))
    child.send(task, () => {})
  })
}
