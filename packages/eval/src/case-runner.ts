import { KvasirError } from '@kvasir/core'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import type { CaseHooks, CaseResult, MeasureOptions } from './case-run.ts'
import type { EvalCase } from './eval-case.ts'
import type { Arm } from './policy-spec.ts'
import { runQuestionCase } from './question-run.ts'
import type { ModelRoom } from './suites.ts'
import { runWindowCase } from './window-run.ts'

/** One case and the policies to run on it. */
export interface CaseTask {
  readonly case: EvalCase
  readonly arms: readonly Arm[]
}

/** Which model runs the cases, and what is measured. Plain data: it goes to other processes. */
export interface RunnerSetup extends MeasureOptions {
  /** Path of a GGUF file. */
  readonly model: string
  readonly room: ModelRoom
}

/** A model that runs one case at a time. Activations are float32: what differs between two rows is the policy alone. */
export class CaseRunner implements AsyncDisposable {
  readonly #model: LlamaModel
  readonly #setup: RunnerSetup
  readonly #broken: AbortController

  private constructor(model: LlamaModel, setup: RunnerSetup, broken: AbortController) {
    this.#model = model
    this.#setup = setup
    this.#broken = broken
  }

  static async open(setup: RunnerSetup): Promise<CaseRunner> {
    const broken = new AbortController()
    const { contextTokens, ...room } = setup.room
    const model = await loadLlama({
      model: setup.model,
      mode: 'exact',
      ...room,
      ...(contextTokens !== null && { contextTokens }),
      // A row of a policy that was put aside would be a row of the full cache.
      onQuarantine: ({ policy, error }) => broken.abort(policyFailure(policy, error)),
    })
    return new CaseRunner(model, setup, broken)
  }

  /** A result for each arm. Throws KvasirError where a policy failed. */
  async run({ case: one, arms }: CaseTask, { onStep, signal }: CaseHooks = {}): Promise<CaseResult[]> {
    const broken = this.#broken.signal
    const hooks = { ...(onStep && { onStep }), signal: signal ? AbortSignal.any([signal, broken]) : broken }
    const results =
      one.suite === 'windows'
        ? await runWindowCase(this.#model, one, arms, hooks, this.#setup)
        : await runQuestionCase(this.#model, one, arms, hooks, this.#setup)
    broken.throwIfAborted()
    return results
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#model.dispose()
  }
}

function policyFailure(policy: string, error: unknown): KvasirError {
  return new KvasirError({ parameter: `policy ${policy}`, expected: 'no failure', got: error, cause: error })
}
