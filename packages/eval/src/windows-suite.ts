import type { LlamaModel, Sequence } from '@kvasir/llama'
import { type BookWindow, windowTokens } from './book-windows.ts'
import { type MemoryFields, memoryOf } from './memory-fields.ts'
import { argMax, klDivergence, mean, median, negativeLogLikelihood } from './metrics.ts'
import { budgetsOf, makePolicy, type PolicySpec } from './policy-spec.ts'

/** One window under one policy and budget. Means are over the scored tokens; KL is full || policy. */
export interface WindowResult extends MemoryFields {
  readonly suite: 'windows'
  readonly id: string
  readonly length: number
  readonly policy: string
  readonly budget: number | null
  readonly mode: null
  readonly scoredTokens: number
  readonly nllNats: number
  readonly nllFullNats: number
  readonly klNats: number
  readonly klMedianNats: number
  /** Share of scored tokens at which policy and full cache have the same arg-max. */
  readonly top1: number
}

export interface WindowCase {
  readonly folder: string
  readonly window: BookWindow
  readonly length: number
}

interface Arm {
  readonly spec: PolicySpec
  readonly budget: number | null
  readonly sequence: Sequence
  readonly kl: number[]
  readonly nll: number[]
  agreed: number
}

/**
 * One dense prefill; then the full cache and every (policy, budget) decode the same tokens in lockstep as one batch,
 * each from a fork of it. `full` among the specs is a second full run, an A/A check.
 */
export async function runWindowCase(
  model: LlamaModel,
  { folder, window, length }: WindowCase,
  specs: readonly PolicySpec[],
  budgets: readonly number[],
  signal?: AbortSignal,
): Promise<WindowResult[]> {
  const { tokenizer } = model
  if (!tokenizer) throw new TypeError('the windows suite needs a model with a tokenizer')
  const options = signal ? { signal } : {}
  const { prompt, fed, targets } = windowTokens(folder, window, tokenizer, length)
  const full = model.createSequence()
  await full.prefill(prompt, options)
  const arms: Arm[] = []
  for (const spec of specs) {
    for (const budget of budgetsOf(spec, budgets)) {
      const sequence = await full.fork({ policy: makePolicy(spec, budget ?? undefined) })
      arms.push({ spec, budget, sequence, kl: [], nll: [], agreed: 0 })
    }
  }
  const nllFull: number[] = []
  try {
    for (const [t, token] of fed.entries()) {
      const steps = [full, ...arms.map(({ sequence }) => sequence)].map((sequence) => sequence.step(token))
      const [fullLogits, ...armLogits] = (await model.decode(steps, options)) as [Float32Array, ...Float32Array[]]
      const target = targets[t] as number
      nllFull.push(negativeLogLikelihood(fullLogits, target))
      const best = argMax(fullLogits)
      for (const [i, arm] of arms.entries()) {
        const logits = armLogits[i] as Float32Array
        arm.nll.push(negativeLogLikelihood(logits, target))
        arm.kl.push(klDivergence(fullLogits, logits))
        if (argMax(logits) === best) arm.agreed++
      }
    }
    return arms.map((arm) => ({
      suite: 'windows',
      id: window.id,
      length,
      policy: arm.spec.text,
      budget: arm.budget,
      mode: null,
      scoredTokens: fed.length,
      nllNats: mean(arm.nll),
      nllFullNats: mean(nllFull),
      klNats: mean(arm.kl),
      klMedianNats: median(arm.kl),
      top1: arm.agreed / fed.length,
      ...memoryOf(arm.sequence.report(), model.config),
    }))
  } finally {
    for (const { sequence } of arms) await sequence.dispose()
    await full.dispose()
  }
}
