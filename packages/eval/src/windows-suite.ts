import type { LlamaModel, LlamaOptions, Sequence } from '@kvasir/llama'
import { type BookWindow, readBook, scoredTokens, type WindowTokens, windowTokens } from './book-windows.ts'
import { type MemoryFields, memoryOf } from './memory-fields.ts'
import { type Comparison, compareLogits, distributionOf, mean, quantile } from './metrics.ts'
import { type Arm, makePolicy } from './policy-spec.ts'
import type { CaseKey } from './results-file.ts'

/** One window under one policy and budget. Means are over the scored tokens; KL is full || policy. */
export interface WindowResult extends CaseKey, MemoryFields {
  readonly suite: 'windows'
  readonly mode: null
  readonly scoredTokens: number
  readonly nllNats: number
  readonly nllFullNats: number
  readonly klNats: number
  readonly klMedianNats: number
  readonly klP99Nats: number
  /** Share of scored tokens at which policy and full cache have the same arg-max. */
  readonly top1: number
}

/** How far a run is: step `step` of `numSteps` in case `index` of `numCases`. Step 0 is the prefill. */
export interface WindowsProgress {
  readonly id: string
  readonly length: number
  readonly index: number
  readonly numCases: number
  readonly step: number
  readonly numSteps: number
}

export interface WindowsRun {
  /** Holds `books/`. */
  readonly folder: string
  readonly windows: readonly BookWindow[]
  /** Context tokens of each case: every window runs at every length. */
  readonly lengths: readonly number[]
  readonly arms: readonly Arm[]
  /** Says which results are there already: they are not computed again. @default none */
  readonly isDone?: (key: CaseKey) => boolean
  readonly onProgress?: (progress: WindowsProgress) => void
  readonly signal?: AbortSignal
}

/** Model options that a run of these lengths and arms needs: room for one prompt and what each arm appends to it. */
export function windowsModelOptions(
  lengths: readonly number[],
  arms: readonly Arm[],
): Required<Pick<LlamaOptions, 'contextTokens' | 'kvCapacityTokens' | 'maxBatch'>> {
  const contextTokens = Math.max(...lengths) + scoredTokens
  const maxBatch = arms.length + 1
  // Two pages of 16 more an arm: the copy of the shared last page, and the one that is not full.
  return { contextTokens, maxBatch, kvCapacityTokens: contextTokens + maxBatch * (scoredTokens + 32) }
}

/** Runs windows by lengths in file order and yields a result for each arm as soon as its case is through. */
export async function* runWindows(model: LlamaModel, run: WindowsRun): AsyncGenerator<WindowResult> {
  const { tokenizer } = model
  if (!tokenizer) throw new TypeError('the windows suite needs a model with a tokenizer')
  const cases = run.lengths.flatMap((length) => run.windows.map((window) => ({ window, length })))
  for (const [index, { window, length }] of cases.entries()) {
    const arms = run.arms.filter((arm) => !run.isDone?.(keyOf(window, length, arm)))
    if (arms.length === 0) continue
    const tokens = windowTokens(readBook(run.folder, window), window, tokenizer, length)
    const numSteps = tokens.fed.length
    const onStep = (step: number) =>
      run.onProgress?.({ id: window.id, length, index, numCases: cases.length, step, numSteps })
    yield* await runCase(model, tokens, arms, (arm) => keyOf(window, length, arm), onStep, run.signal)
  }
}

interface RunningArm {
  readonly arm: Arm
  readonly sequence: Sequence
  readonly comparisons: Comparison[]
}

/** One dense prefill; then the full cache and all arms decode the same tokens in lockstep, each in a fork of it. */
async function runCase(
  model: LlamaModel,
  { prompt, fed, targets }: WindowTokens,
  arms: readonly Arm[],
  keyFor: (arm: Arm) => WindowKey,
  onStep: (step: number) => void,
  signal: AbortSignal | undefined,
): Promise<WindowResult[]> {
  const options = signal ? { signal } : {}
  const running: RunningArm[] = []
  await using full = model.createSequence()
  try {
    onStep(0)
    await full.prefill(prompt, options)
    for (const arm of arms) {
      running.push({ arm, sequence: await full.fork({ policy: makePolicy(arm) }), comparisons: [] })
    }
    const nllFull: number[] = []
    for (const [t, token] of fed.entries()) {
      const steps = [full, ...running.map(({ sequence }) => sequence)].map((sequence) => sequence.step(token))
      const [fullLogits, ...armLogits] = await model.decode(steps, options)
      const reference = distributionOf(fullLogits)
      nllFull.push(reference.logNorm - fullLogits[targets[t]])
      for (const [i, { comparisons }] of running.entries()) {
        comparisons.push(compareLogits(reference, armLogits[i], targets[t]))
      }
      onStep(t + 1)
    }
    const nllFullNats = mean(nllFull)
    return running.map(({ arm, sequence, comparisons }) => ({
      ...keyFor(arm),
      ...scoresOf(comparisons),
      nllFullNats,
      ...memoryOf(sequence.report(), model.config),
    }))
  } finally {
    for (const { sequence } of running) await sequence.dispose()
  }
}

type WindowKey = Pick<WindowResult, 'suite' | 'id' | 'length' | 'policy' | 'budget' | 'mode'>

function keyOf(window: BookWindow, length: number, { spec, budget }: Arm): WindowKey {
  return { suite: 'windows', id: window.id, length, policy: spec.text, budget, mode: null }
}

function scoresOf(comparisons: readonly Comparison[]) {
  const kl = comparisons.map(({ klNats }) => klNats)
  return {
    scoredTokens: comparisons.length,
    nllNats: mean(comparisons.map(({ nllNats }) => nllNats)),
    klNats: mean(kl),
    klMedianNats: quantile(kl, 0.5),
    klP99Nats: quantile(kl, 0.99),
    top1: mean(comparisons.map(({ sameBest }) => Number(sameBest))),
  }
}
