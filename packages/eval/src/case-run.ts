import type { Effects } from '@kvasir/core'
import type { LlamaModel } from '@kvasir/llama'
import type { MemoryFields } from './memory-fields.ts'
import { type Arm, makePolicy } from './policy-spec.ts'
import type { RecallFields } from './recall.ts'
import type { CaseKey } from './results-file.ts'

/** One case under one policy and budget: its key, the fields of its suite, and mostly what it held and read. */
export interface CaseResult extends CaseKey, Partial<MemoryFields>, Partial<RecallFields> {
  readonly [field: string]: unknown
}

/** What a run of one case tells, and how it is stopped. */
export interface CaseHooks {
  /** Steps done of all steps of the case. */
  readonly onStep?: (step: number, numSteps: number) => void
  readonly signal?: AbortSignal
}

export interface MeasureOptions {
  /**
   * Attention-mass recall is taken at every so many steps of a window, and at each step that predicts an answer; 0: never.
   * @default 16
   */
  readonly recallEvery?: number
}

/** The same for one case. */
export interface CaseOptions extends MeasureOptions {
  /** The model over a lower tier in which the arms, one at a time, have their rows. @default with the full cache, in memory */
  readonly tiered?: LlamaModel | undefined
}

/** What the policies of all arms together must see of a prompt's attention. */
export function observedBy(arms: readonly Arm[]): NonNullable<Effects['observes']> {
  const observes = arms.map((arm) => makePolicy(arm).effects.observes)
  return {
    windowTokens: Math.max(0, ...observes.map((one) => one?.windowTokens ?? 0)),
    allRows: observes.some((one) => one?.allRows ?? false),
  }
}

/** Key of the results of a case under an arm. */
export function keyOf(
  { suite, id, length, mode }: Pick<CaseKey, 'suite' | 'id' | 'length' | 'mode'>,
  { spec, budget }: Arm,
): CaseKey {
  return { suite, id, length, policy: spec.text, budget, mode }
}

export function tokenizerOf({ tokenizer }: LlamaModel): NonNullable<LlamaModel['tokenizer']> {
  if (tokenizer) return tokenizer
  throw new TypeError('evaluation suites need a model with a tokenizer')
}
