import type { CaseResult } from './case-run.ts'
import type { CaseTask, RunnerSetup } from './case-runner.ts'

/** What the run asks of a worker process: first to open a model, then one case after another. */
export type WorkerRequest =
  | { readonly kind: 'open'; readonly setup: RunnerSetup }
  | { readonly kind: 'run'; readonly task: CaseTask }

/** What a worker answers: progress while a case runs, and one end of each request. */
export type WorkerReply =
  | { readonly kind: 'step'; readonly done: number }
  | { readonly kind: 'opened' }
  | { readonly kind: 'results'; readonly results: readonly CaseResult[] }
  | { readonly kind: 'failed'; readonly message: string }
