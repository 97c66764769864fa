import { KvasirError } from '@kvasir/core'
import { type LlamaModel, type LlamaOptions, loadLlama } from '@kvasir/llama'
import type { CaseHooks, CaseOptions, CaseResult, MeasureOptions } from './case-run.ts'
import type { EvalCase } from './eval-case.ts'
import { type EvalTier, kvTierOf } from './lower-tier.ts'
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
  /** With a folder of the run's own. @default all rows in memory */
  readonly kvTier?: EvalTier
}

/**
 * A model that runs one case at a time, and with a lower tier the same model once more over that. Activations are float32:
 * what differs between two rows is the policy alone.
 */
export class CaseRunner implements AsyncDisposable {
  readonly #model: LlamaModel
  readonly #options: CaseOptions
  readonly #broken: AbortController

  private constructor(model: LlamaModel, options: CaseOptions, broken: AbortController) {
    this.#model = model
    this.#options = options
    this.#broken = broken
  }

  static async open({ model: path, room, recallEvery = 16, kvTier }: RunnerSetup): Promise<CaseRunner> {
    const broken = new AbortController()
    const { contextTokens, ...others } = room
    const options: LlamaOptions = {
      model: path,
      mode: 'exact',
      ...others,
      ...(contextTokens !== null && { contextTokens }),
      // A row of a policy that was put aside would be a row of the full cache.
      onQuarantine: ({ policy, error }) => broken.abort(policyFailure(policy, error)),
    }
    const model = await loadLlama(options)
    try {
      const tiered = kvTier && (await loadLlama({ ...options, kvTier: kvTierOf(kvTier) }))
      return new CaseRunner(model, { recallEvery, tiered }, broken)
    } catch (error) {
      await model.dispose()
      throw error
    }
  }

  /** A result for each arm. Throws KvasirError where a policy failed. */
  async run({ case: one, arms }: CaseTask, { onStep, signal }: CaseHooks = {}): Promise<CaseResult[]> {
    const broken = this.#broken.signal
    const hooks = { ...(onStep && { onStep }), signal: signal ? AbortSignal.any([signal, broken]) : broken }
    const results =
      one.suite === 'windows'
        ? await runWindowCase(this.#model, one, arms, hooks, this.#options)
        : await runQuestionCase(this.#model, one, arms, hooks, this.#options)
    broken.throwIfAborted()
    return results
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.tiered?.dispose()
    await this.#model.dispose()
  }
}

function policyFailure(policy: string, error: unknown): KvasirError {
  return new KvasirError({ parameter: `policy ${policy}`, expected: 'no failure', got: error, cause: error })
}
