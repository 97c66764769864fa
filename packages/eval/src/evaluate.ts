import { OptionError } from '@kvasir/core'
import { type CaseResult, keyOf } from './case-run.ts'
import { type Activations, CaseRunner, type CaseTask, type RunnerSetup } from './case-runner.ts'
import type { EvalCase } from './eval-case.ts'
import { groupBy } from './group-by.ts'
import { type EvalTier, withTierFolder } from './lower-tier.ts'
import type { Arm } from './policy-spec.ts'
import type { CaseKey } from './results-file.ts'
import { modelRoom } from './suites.ts'
import { runInWorkers } from './worker-pool.ts'

export interface EvaluateOptions {
  readonly cases: readonly EvalCase[]
  readonly arms: readonly Arm[]
  /** Path of a GGUF file. */
  readonly model: string
  /** Attention-mass recall at every so many steps of a window; 0: never, of questions neither. @default 16 */
  readonly recallEvery?: number
  /**
   * Keeps KV rows in a lower tier. Each arm then has a prefill of its own, so that what it moves is its own.
   * @default all rows in memory
   */
  readonly kvTier?: EvalTier
  /** @default 'exact': what differs between two rows is the policy alone */
  readonly activations?: Activations
  /** Rounds of a case of `pairs`, of which times are medians. @default 1 */
  readonly rounds?: number
  /** Processes that share the cases; 0: this one runs them. @default 0 */
  readonly numWorkers?: number
  /** Kernel threads of all workers together. @default one a worker */
  readonly numThreads?: number
  /** Flags of Node in the workers. @default those of this process */
  readonly execArgv?: readonly string[]
  /** Says which results are there already: they are not computed again. @default none */
  readonly isDone?: (key: CaseKey) => boolean
  /** Results of one case, one an arm, as soon as it is through. */
  readonly onResults: (results: readonly CaseResult[]) => void
  readonly onProgress?: (progress: EvalProgress) => void
  readonly signal?: AbortSignal
}

/** How far a run is, in cases. */
export interface EvalProgress {
  /** Cases done, those under way by their share. */
  readonly done: number
  readonly numCases: number
  /** The case that moved. */
  readonly case: EvalCase
}

/**
 * Runs every arm on every case. The order in which cases end depends on the workers, the results do not. Throws
 * OptionError for cases that cannot be made, KvasirError where a policy or a worker failed; what was measured until then
 * was handed over.
 */
export function evaluate(options: EvaluateOptions): Promise<void> {
  return withTierFolder(options.kvTier, (kvTier) => evaluateOver(kvTier, options))
}

async function evaluateOver(kvTier: EvalTier | undefined, options: EvaluateOptions): Promise<void> {
  const { cases, arms, model, recallEvery = 16, numWorkers = 0, numThreads = numWorkers, onProgress, signal } = options
  const { activations = 'exact', rounds = 1 } = options
  const lends = cases.some(({ suite }) => suite === 'pairs')
  if (lends && kvTier) {
    throw new OptionError({ parameter: 'kvTier', expected: 'no lower tier for pairs', got: kvTier.kind })
  }
  const tasks = tasksOf(options)
  if (tasks.length === 0) return
  const room = modelRoom(cases, kvTier ? 1 : arms.length)
  const setup: RunnerSetup = { model, recallEvery, room, activations, rounds, lends, ...(kvTier && { kvTier }) }
  const shares = new Map<CaseTask, number>()
  const tasksPerCase = groupBy(tasks, (task) => task.case)
  const before = cases.length - tasksPerCase.size
  const onStep = (task: CaseTask, share: number) => {
    shares.set(task, share / (tasksPerCase.get(task.case)?.length ?? 1))
    const done = before + [...shares.values()].reduce((sum, one) => sum + one, 0)
    onProgress?.({ done, numCases: cases.length, case: task.case })
  }
  const onResults = (task: CaseTask, results: readonly CaseResult[]) => {
    options.onResults(results)
    onStep(task, 1)
  }
  if (numWorkers > 0) {
    const { execArgv } = options
    const count = Math.min(numWorkers, tasks.length)
    const threadsPerWorker = Math.max(1, Math.floor(numThreads / count))
    const pool = { numWorkers: count, threadsPerWorker, onStep, onResults }
    await runInWorkers(tasks, setup, { ...pool, ...(execArgv && { execArgv }), ...(signal && { signal }) })
    return
  }
  await using runner = await CaseRunner.open(setup)
  for (const task of tasks) {
    const hooks = {
      onStep: (step: number, numSteps: number) => onStep(task, step / numSteps),
      ...(signal && { signal }),
    }
    onResults(task, await runner.run(task, hooks))
  }
}

/** What is not done yet: the cases with all their arms, or over a lower tier with one at a time. */
function tasksOf({ cases, arms, kvTier, isDone = () => false }: EvaluateOptions): CaseTask[] {
  return cases.flatMap((one) => {
    const left = arms.filter((arm) => !isDone(keyOf(one, arm)))
    if (kvTier) return left.map((arm) => ({ case: one, arms: [arm] }))
    return left.length === 0 ? [] : [{ case: one, arms: left }]
  })
}
