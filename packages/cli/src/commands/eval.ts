import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { checkOneOf, KvasirError, OptionError } from '@kvasir/core'
import {
  type Activations,
  type Arm,
  type CaseResult,
  compareArms,
  type EvalCase,
  type EvalTier,
  evaluate,
  listCases,
  type Mode,
  markdownTables,
  modes,
  openResults,
  type PairKind,
  pairKinds,
  parsePolicySpec,
  planArms,
  type ResultsFile,
  type RunIdentity,
  type SuiteName,
  suiteNames,
  summarise,
  summaryJson,
  summaryTable,
} from '@kvasir/eval'
import { loadKernels } from '@kvasir/kernels'
import type { Command } from 'commander'
import { integer, integerList, repeated } from '../arguments.ts'
import { commandLine } from '../command-line.ts'
import { modelOption } from '../model.ts'
import { note, printJson, startProgress, tableText } from '../output.ts'
import { defaultBudget } from '../policy-option.ts'
import { addTierOptions, describeTier, openTier, type TierFlags } from '../tier-option.ts'

interface EvalFlags extends TierFlags {
  readonly data: string
  readonly model: string
  readonly policy: readonly string[]
  readonly budget: readonly number[]
  readonly length?: readonly number[]
  readonly limit?: number
  readonly mode?: readonly string[]
  readonly kind?: readonly string[]
  readonly pairs: number
  readonly activations?: string
  readonly workers?: number
  readonly recallEvery: number
  readonly out?: string
  readonly json?: true
}

export function addEvalCommand(program: Command): void {
  const command = program
    .command('eval')
    .description('measure policies beside the full cache on a suite of cases')
    .argument('<suite>', `one of ${suiteNames.join(', ')}`)
    .requiredOption('--data <dir>', 'folder of evaluation data')
    .option(...modelOption)
    .requiredOption('--policy <spec>', 'policy to measure; may be given more than once', repeated)
    .option('--budget <n,...>', 'tokens a KV head', integerList('--budget', 1), [defaultBudget])
    .option('--length <n,...>', 'tokens of context (default: 2048)', integerList('--length', 1))
    .option('--limit <n>', 'first n cases a length, of pairs a kind and length', integer('--limit', 1))
    .option('--mode <mode>', `where the policy begins: ${modes.join(', ')}; may be given more than once`, repeated)
    .option('--kind <kind>', `kind of pairs: ${pairKinds.join(', ')}; may be given more than once`, repeated)
    .option('--pairs <n>', 'rounds of a case of pairs, of which times are medians', integer('--pairs', 1), 1)
    .option(
      '--activations <type>',
      'exact: float32; fast: rounded to 8 bits where it pays (default: exact, of pairs fast)',
    )
    .option(
      '--workers <n>',
      'processes that share the cases, 0: none (default: one a core; of pairs, which are timed, none)',
      integer('--workers', 0, 256),
    )
    .option('--recall-every <n>', 'attention-mass recall every n steps, 0: never', integer('--recall-every', 0), 16)
    .option(
      '--out <dir>',
      'folder for results.jsonl, summary.json, tables.md and report.html; an interrupted run goes on there',
    )
    .option('--json', 'print the summary as one JSON object')
  addTierOptions(command).action(runEval)
}

async function runEval(name: string, flags: EvalFlags): Promise<void> {
  const suite = checkOneOf('suite', name, suiteNames)
  const arms = planArms(flags.policy.map(parsePolicySpec), flags.budget, ({ spec, budget }, { message }) => {
    note(`${spec.text} at budget ${budget} is left out: ${message}`)
  })
  const cases = findCases(suite, flags)
  const budgets = arms.map(({ budget }) => budget)
  using placed = await openTier(flags, flags.model, budgets)
  const identity = identityOf(suite, flags, placed.tier)
  const results = flags.out === undefined ? null : openResults(flags.out, identity)
  const rows = [...((results?.rows ?? []) as readonly CaseResult[])]
  const keep = (some: readonly CaseResult[]) => {
    for (const row of some) results?.append(row)
    rows.push(...some)
  }
  await runCases({ suite, flags, cases, arms, kvTier: placed.tier, results }, keep)
  const summary = summarise(rows)
  const comparisons = compareArms(rows)
  results?.writeJson('summary.json', summary.map(summaryJson))
  results?.writeJson('comparisons.json', comparisons)
  results?.writeText('tables.md', markdownTables({ summary, comparisons, identity, command: commandLine() }))
  if (flags.out !== undefined) await writePage(flags.out, flags.data)
  // A folder may hold results of other suites as well.
  const isAsked = (row: { readonly suite: string }) => row.suite === suite
  const asked = summary.filter(isAsked)
  if (flags.json) {
    printJson({ suite, ...identity, rows: asked.map(summaryJson), comparisons: comparisons.filter(isAsked) })
    return
  }
  const table = summaryTable(asked, { intervals: false })
  process.stdout.write(`${tableText(table.head, table.rows)}\n`)
}

/** The plots' packages are loaded where a page is written, and nowhere else. */
async function writePage(folder: string, data: string): Promise<void> {
  const { writeReport } = await import('@kvasir/report')
  writeReport(folder, { data, command: commandLine() })
}

function findCases(suite: SuiteName, { data, length, limit, mode, kind }: EvalFlags): readonly EvalCase[] {
  // What a suite without lengths is not asked for it cannot refuse.
  const lengths = length ?? (suite === 'longbench' ? undefined : [2048])
  const { cases, missing } = listCases(suite, data, {
    ...(lengths && { lengths }),
    ...(limit !== undefined && { limit }),
    ...(mode && { modes: checkModes(mode) }),
    ...(kind && { kinds: kind.map((name): PairKind => checkOneOf('--kind', name as PairKind, pairKinds)) }),
  })
  for (const path of missing) note(`${path} is not there, skipped`)
  if (cases.length > 0) return cases
  throw new KvasirError({ parameter: '--data', expected: `a folder with cases of ${suite}`, got: data })
}

function checkModes(texts: readonly string[]): Mode[] {
  const checked = texts.map((text) => checkOneOf('--mode', text, modes))
  if (new Set(checked).size === checked.length) return checked
  throw new OptionError({ parameter: '--mode', expected: 'each mode once', got: texts })
}

interface Run {
  readonly suite: SuiteName
  readonly flags: EvalFlags
  readonly cases: readonly EvalCase[]
  readonly arms: readonly Arm[]
  readonly kvTier: EvalTier | undefined
  readonly results: ResultsFile | null
}

async function runCases(
  { suite, flags, cases, arms, kvTier, results }: Run,
  onResults: (results: readonly CaseResult[]) => void,
): Promise<void> {
  const { model, workers, recallEvery, pairs } = flags
  const isDone = results?.has ?? (() => false)
  const numThreads = await countCores()
  const bar = startProgress(cases.length, suite)
  try {
    await evaluate({
      cases,
      arms,
      model,
      recallEvery,
      activations: activationsOf(suite, flags),
      rounds: pairs,
      ...(kvTier && { kvTier }),
      numThreads,
      numWorkers: workers ?? (cases.length === 1 || suite === 'pairs' ? 0 : numThreads),
      isDone,
      onResults,
      onProgress: ({ done, case: { id, length } }) => bar.update(done, `${id} at ${length}`),
    })
  } finally {
    bar.stop()
  }
}

/** Threads that kernels take by themselves. */
async function countCores(): Promise<number> {
  const kernels = await loadKernels()
  await kernels.dispose()
  return kernels.numThreads
}

/** Float32: what differs between two rows of a table is then the policy alone. Pairs are timed as they are run. */
function activationsOf(suite: SuiteName, { activations }: EvalFlags): Activations {
  const given = activations ?? (suite === 'pairs' ? 'fast' : 'exact')
  return checkOneOf('--activations', given as Activations, ['exact', 'fast'])
}

function identityOf(suite: SuiteName, flags: EvalFlags, tier: EvalTier | undefined): RunIdentity {
  const { model } = flags
  const activations = activationsOf(suite, flags)
  return { model: basename(model), modelBytes: statSync(model).size, activations, ...describeTier(tier) }
}
