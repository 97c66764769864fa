import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { KvasirError } from '@kvasir/core'
import type { CaseResult } from './case-run.ts'
import type { CaseTask, RunnerSetup } from './case-runner.ts'
import type { WorkerReply, WorkerRequest } from './worker-messages.ts'

/** A worker process ended, or a case failed in it. */
export class WorkerError extends KvasirError {}

export interface PoolOptions {
  readonly numWorkers: number
  /** Kernel threads of each. */
  readonly threadsPerWorker: number
  /** Flags of Node in the workers. @default those of this process */
  readonly execArgv?: readonly string[]
  /** Share of a case that is done, while it runs. */
  readonly onStep: (task: CaseTask, done: number) => void
  /** A case is through. */
  readonly onResults: (task: CaseTask, results: readonly CaseResult[]) => void
  readonly signal?: AbortSignal
}

/**
 * Spreads cases over processes that each have a model of their own. Once one fails no new case begins; the others finish
 * theirs, then it throws a WorkerError that names the case. Whatever ends the call ends the processes.
 */
export async function runInWorkers(tasks: readonly CaseTask[], setup: RunnerSetup, pool: PoolOptions): Promise<void> {
  pool.signal?.throwIfAborted()
  const queue = [...tasks]
  const failures: WorkerError[] = []
  const workers = Array.from({ length: pool.numWorkers }, () => new Worker(pool))
  const endAll = () => {
    for (const worker of workers) worker.end()
  }
  const workOn = async (worker: Worker) => {
    let task: CaseTask | undefined
    const ask: Worker['ask'] = async (request, onStep) => {
      try {
        return await worker.ask(request, onStep)
      } catch (error) {
        throw workerFailure(task, error)
      }
    }
    try {
      await ask({ kind: 'open', setup })
      while (failures.length === 0 && queue.length > 0) {
        const current = queue.shift() as CaseTask
        task = current
        const reply = await ask({ kind: 'run', task }, (done) => pool.onStep(current, done))
        if (reply.kind === 'results') pool.onResults(current, reply.results)
      }
    } catch (error) {
      if (!(error instanceof WorkerError)) throw error
      failures.push(error)
    } finally {
      worker.end()
    }
  }
  pool.signal?.addEventListener('abort', endAll)
  try {
    await Promise.all(workers.map(workOn))
  } finally {
    pool.signal?.removeEventListener('abort', endAll)
    endAll()
  }
  pool.signal?.throwIfAborted()
  if (failures.length > 0) throw failures[0]
}

/** One process; answers one request at a time. */
class Worker {
  readonly #child: ChildProcess

  constructor({ threadsPerWorker, execArgv }: PoolOptions) {
    // Beside this module whether it runs from sources or built.
    const entry = new URL(`./case-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)
    this.#child = fork(fileURLToPath(entry), [], {
      env: { ...process.env, KVASIR_THREADS: String(threadsPerWorker) },
      // Keeps NaN and typed arrays as they are.
      serialization: 'advanced',
      ...(execArgv && { execArgv: [...execArgv] }),
    })
  }

  /** Throws an Error that says why where the request failed or the process ended. */
  ask(request: WorkerRequest, onStep?: (done: number) => void): Promise<WorkerReply> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const settle = () => {
        child.off('message', onMessage)
        child.off('exit', onExit)
        child.off('error', onError)
      }
      const onMessage = (reply: WorkerReply) => {
        if (reply.kind === 'step') return onStep?.(reply.done)
        settle()
        if (reply.kind === 'failed') reject(new Error(reply.message))
        else resolve(reply)
      }
      const onExit = (code: number | null, signal: string | null) => {
        settle()
        reject(new Error(`its process ended with ${signal ?? `exit code ${code}`}`))
      }
      const onError = (error: Error) => {
        settle()
        reject(error)
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.on('error', onError)
      if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode)
      else child.send(request)
    })
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

function workerFailure(task: CaseTask | undefined, error: unknown): WorkerError {
  const { id, length, suite } = task?.case ?? {}
  return new WorkerError({
    parameter: task ? `case ${id} of ${suite} at ${length}` : 'worker',
    expected: 'a worker that runs it',
    got: error,
    cause: error,
  })
}
