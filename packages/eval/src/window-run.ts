import type { LlamaModel, SelectedView } from '@kvasir/llama'
import { windowTokens } from './book-windows.ts'
import { type CaseHooks, type CaseOptions, type CaseResult, keyOf, observedBy, tokenizerOf } from './case-run.ts'
import { decodeEntrants, type Entrant, enterArm } from './entrants.ts'
import type { WindowCase } from './eval-case.ts'
import { memoryOf } from './memory-fields.ts'
import { type Comparison, compareLogits, distributionOf, mean, quantile } from './metrics.ts'
import type { Arm } from './policy-spec.ts'
import { RecallMeter } from './recall.ts'

interface Contender extends Entrant {
  readonly comparisons: Comparison[]
  readonly recall: RecallMeter
}

/** One dense prefill; then the full cache and all arms decode the same tokens in lockstep, each in a fork of it. */
export async function runWindowCase(
  model: LlamaModel,
  window: WindowCase,
  arms: readonly Arm[],
  { onStep, signal }: CaseHooks = {},
  { recallEvery = 16, tiered }: CaseOptions = {},
): Promise<CaseResult[]> {
  const options = signal ? { signal } : {}
  const { prompt, fed, targets } = windowTokens(window, tokenizerOf(model))
  const contenders: Contender[] = []
  await using full = model.createSequence({ observe: observedBy(arms) })
  try {
    onStep?.(0, fed.length)
    await full.prefill(prompt, options)
    for (const arm of arms) {
      const entrant = await enterArm(arm, { model, full, tokens: prompt }, tiered, options)
      contenders.push({ ...entrant, comparisons: [], recall: new RecallMeter(model.config) })
    }
    const reference: Entrant = { model, sequence: full, movedBytes: null }
    const nllFull: number[] = []
    for (const [t, token] of fed.entries()) {
      const sampled = recallEvery > 0 && t % recallEvery === 0
      const steps = contenders.map((entrant) => ({
        entrant,
        token,
        ...(sampled && { onSelected: (view: SelectedView) => entrant.recall.add(view) }),
      }))
      const [fullLogits, ...logits] = await decodeEntrants([{ entrant: reference, token }, ...steps], options)
      const expected = distributionOf(fullLogits)
      nllFull.push(expected.logNorm - fullLogits[targets[t]])
      for (const [i, { comparisons }] of contenders.entries()) {
        comparisons.push(compareLogits(expected, logits[i], targets[t]))
      }
      onStep?.(t + 1, fed.length)
    }
    const nllFullNats = mean(nllFull)
    return contenders.map(({ sequence, movedBytes, comparisons, recall }, i) => ({
      ...keyOf(window, arms[i]),
      ...scoresOf(comparisons),
      nllFullNats,
      ...(recall.fields() ?? {}),
      ...memoryOf(sequence.report(), model.config, movedBytes),
    }))
  } finally {
    for (const { sequence } of contenders) await sequence.dispose()
  }
}

/** Means over the scored tokens; KL is full || policy, top1 the share of them with the full cache's arg-max. */
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
