import { KvasirError } from '@kvasir/core'
import { type LlamaModel, type LlamaOptions, loadLlama } from '@kvasir/llama'
import { type DonorLibrary, donorLibrary } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'
import type { CaseHooks, CaseOptions, CaseResult, MeasureOptions } from './case-run.ts'
import type { EvalCase } from './eval-case.ts'
import { type EvalTier, kvTierOf } from './lower-tier.ts'
import { CaseDonors } from './pairs/case-donors.ts'
import { llamaPairs } from './pairs/llama-pairs.ts'
import { type PairBench, runPairCase } from './pairs/pair-run.ts'
import { type Arm, makePolicy } from './policy-spec.ts'
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
  /** Of `LlamaOptions.mode`. @default 'exact' */
  readonly activations?: Activations
  /** Cases of `pairs` are among those that run. @default false */
  readonly lends?: boolean
  /** Rounds of a case of `pairs`, of which times are medians. @default 1 */
  readonly rounds?: number
}

/** Rows are float32 between the layers, or rounded to 8 bits where it pays. */
export type Activations = NonNullable<LlamaOptions['mode']>

/** Bytes for the one donor of a case, which is copied for one run at a time. */
const donorBytes = 1e9

/** A model that runs one case at a time, and with a lower tier the same model once more over that. */
export class CaseRunner implements AsyncDisposable {
  readonly #model: LlamaModel
  readonly #options: CaseOptions
  readonly #broken: AbortController
  readonly #lending: Lending | null
  #isWarm = false

  private constructor(
    model: LlamaModel,
    options: CaseOptions,
    { broken, lending }: { readonly broken: AbortController; readonly lending: Lending | null },
  ) {
    this.#model = model
    this.#options = options
    this.#broken = broken
    this.#lending = lending
  }

  static async open(setup: RunnerSetup): Promise<CaseRunner> {
    const { model: path, room, recallEvery = 16, kvTier, activations = 'exact', lends = false, rounds = 1 } = setup
    const broken = new AbortController()
    const donors = lends
      ? new CaseDonors(await donorLibrary({ store: hostDonors({ budgetBytes: donorBytes }) }))
      : undefined
    const { contextTokens, ...others } = room
    const options: LlamaOptions = {
      model: path,
      mode: activations,
      ...(donors && { donors }),
      ...others,
      ...(contextTokens !== null && { contextTokens }),
      // A row of a policy that was put aside would be a row of the full cache.
      onQuarantine: ({ policy, error }) => broken.abort(policyFailure(policy, error)),
    }
    const model = await loadLlama(options)
    try {
      const tiered = kvTier && (await loadLlama({ ...options, kvTier: kvTierOf(kvTier) }))
      const lending = donors
        ? {
            engine: llamaPairs(model),
            donors,
            policyOf: (arm: Arm, donors: DonorLibrary) => makePolicy(arm, { donors }),
            rounds,
          }
        : null
      return new CaseRunner(model, { recallEvery, tiered }, { broken, lending })
    } catch (error) {
      await model.dispose()
      throw error
    }
  }

  /** A result for each arm. Throws KvasirError where a policy failed. */
  async run({ case: one, arms }: CaseTask, { onStep, signal }: CaseHooks = {}): Promise<CaseResult[]> {
    const broken = this.#broken.signal
    const hooks = { ...(onStep && { onStep }), signal: signal ? AbortSignal.any([signal, broken]) : broken }
    const results = await this.#runCase({ case: one, arms }, hooks)
    broken.throwIfAborted()
    return results
  }

  async #runCase({ case: one, arms }: CaseTask, hooks: CaseHooks): Promise<CaseResult[]> {
    if (one.suite === 'windows') return runWindowCase(this.#model, one, arms, hooks, this.#options)
    if (one.suite !== 'pairs') return runQuestionCase(this.#model, one, arms, hooks, this.#options)
    if (this.#lending === null) throw new TypeError('pairs need a runner that lends')
    const { rounds } = this.#lending
    const results = await runPairCase(this.#lending, one, arms, hooks, { rounds, warmUp: !this.#isWarm })
    this.#isWarm = true
    return results
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.tiered?.dispose()
    await this.#model.dispose()
  }
}

interface Lending extends PairBench<DonorLibrary> {
  readonly rounds: number
}

function policyFailure(policy: string, error: unknown): KvasirError {
  return new KvasirError({ parameter: `policy ${policy}`, expected: 'no failure', got: error, cause: error })
}
