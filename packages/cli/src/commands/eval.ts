import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { KvasirError, OptionError } from '@kvasir/core'
import {
  type CaseKey,
  openResults,
  parsePolicySpec,
  planArms,
  readBookWindows,
  runWindows,
  summarise,
  summaryJson,
  windowsModelOptions,
} from '@kvasir/eval'
import type { Command } from 'commander'
import { integer, integerList, repeated } from '../arguments.ts'
import { modelOption, openModel } from '../model.ts'
import { note, printJson, startProgress } from '../output.ts'
import { defaultBudget } from '../policy-option.ts'
import { windowsTable } from '../windows-table.ts'

interface EvalFlags {
  readonly data: string
  readonly model: string
  readonly policy: readonly string[]
  readonly budget: readonly number[]
  readonly length: readonly number[]
  readonly limit?: number
  readonly mode?: readonly string[]
  readonly out?: string
  readonly json?: true
}

const suites = ['windows'] as const

export function addEvalCommand(program: Command): void {
  program
    .command('eval')
    .description('measure policies beside the full cache on a suite of cases')
    .argument('<suite>', `one of ${suites.join(', ')}`)
    .requiredOption('--data <dir>', 'folder of evaluation data')
    .option(...modelOption)
    .requiredOption('--policy <spec>', 'policy to measure; may be given more than once', repeated)
    .option('--budget <n,...>', 'tokens a KV head', integerList('--budget', 1), [defaultBudget])
    .option('--length <n,...>', 'tokens of context', integerList('--length', 1), [2048])
    .option('--limit <n>', 'first n cases a length', integer('--limit', 1))
    .option('--mode <mode>', 'where the policy begins; the windows suite has no modes', repeated)
    .option('--out <dir>', 'folder for results.jsonl, summary.json and report.html; an interrupted run goes on there')
    .option('--json', 'print the summary as one JSON object')
    .action(runEval)
}

async function runEval(suite: string, flags: EvalFlags): Promise<void> {
  if (!suites.includes(suite as never)) {
    throw new OptionError({ parameter: 'suite', expected: `one of ${suites.join(', ')}`, got: suite })
  }
  if (flags.mode) throw new OptionError({ parameter: '--mode', expected: 'no mode for windows', got: flags.mode })
  const arms = planArms(flags.policy.map(parsePolicySpec), flags.budget)
  const { folder, windows, missing } = readBookWindows(flags.data)
  for (const path of missing) note(`${path} is not there, skipped`)
  if (windows.length === 0) {
    throw new KvasirError({ parameter: '--data', expected: 'a folder with cases of windows', got: flags.data })
  }
  const identity = identityOf(flags)
  const results = flags.out === undefined ? null : openResults(flags.out, identity)
  const rows: CaseKey[] = []
  const bar = startProgress(Math.min(windows.length, flags.limit ?? windows.length) * flags.length.length, suite)
  const broken = new AbortController()
  await using model = await openModel({
    model: flags.model,
    mode: activations,
    ...windowsModelOptions(flags.length, arms),
    // A row of a policy that was put aside would be a row of the full cache.
    onQuarantine: ({ policy, error }) => broken.abort(policyFailure(policy, error)),
  })
  const measured = runWindows(model, {
    folder,
    windows: windows.slice(0, flags.limit),
    lengths: flags.length,
    arms,
    isDone: (key) => results?.has(key) ?? false,
    onProgress: ({ id, length, index, step, numSteps }) => bar.update(index + step / numSteps, `${id} at ${length}`),
    signal: broken.signal,
  })
  for await (const row of measured) {
    broken.signal.throwIfAborted()
    rows.push(row)
    results?.append(row)
  }
  bar.stop()
  const summary = summarise(results?.rows ?? rows)
  results?.writeJson('summary.json', summary.map(summaryJson))
  if (flags.out !== undefined) await writePage(flags.out, flags.data)
  if (flags.json) printJson({ suite, ...identity, rows: summary.map(summaryJson) })
  else process.stdout.write(`${windowsTable(summary)}\n`)
}

/** The plots' packages are loaded where a page is written, and nowhere else. */
async function writePage(folder: string, data: string): Promise<void> {
  const { writeReport } = await import('@kvasir/report')
  writeReport(folder, { data, command: ['kvasir', ...process.argv.slice(2)].join(' ') })
}

/** Float32 activations: what differs between two rows of a table is then the policy alone. */
const activations = 'exact'

function identityOf({ model }: EvalFlags) {
  return { model: basename(model), modelBytes: statSync(model).size, activations }
}

function policyFailure(policy: string, error: unknown): KvasirError {
  return new KvasirError({ parameter: `policy ${policy}`, expected: 'no failure', got: error, cause: error })
}
