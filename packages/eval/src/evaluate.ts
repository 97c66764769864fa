import { type CaseResult, keyOf } from './case-run.ts'
import { CaseRunner, type CaseTask, type RunnerSetup } from './case-runner.ts'
import type { EvalCase } from './eval-case.ts'
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
export async function evaluate(options: EvaluateOptions): Promise<void> {
  const { cases, arms, model, recallEvery = 16, numWorkers = 0, numThreads = numWorkers, onProgress, signal } = options
  const isDone = options.isDone ?? (() => false)
  const tasks = cases
    .map((one): CaseTask => ({ case: one, arms: arms.filter((arm) => !isDone(keyOf(one, arm))) }))
    .filter((task) => task.arms.length > 0)
  if (tasks.length === 0) return
  const setup: RunnerSetup = { model, recallEvery, room: modelRoom(cases, arms.length) }
  const before = cases.length - tasks.length
  const shares = new Map<CaseTask, number>()
  const onStep = (task: CaseTask, share: number) => {
    shares.set(task, share)
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
