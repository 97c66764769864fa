// A process of its own, which the parent may have bounded: reads a prompt and answers, or says why it cannot.
import { makePolicy, parsePolicySpec } from '@kvasir/eval'
import { loadKernels, type TierOptions } from '@kvasir/kernels'
import { createSampler, loadLlama } from '@kvasir/llama'
import { dataBytes, peakRssBytes } from './process-memory.ts'

export interface BoundedTask {
  /** GGUF file. */
  readonly model: string
  readonly threads: number
  readonly tokens: readonly number[]
  /** Tokens to draw, greedily. */
  readonly maxTokens: number
  /** SPEC of the command line. */
  readonly policy: string
  readonly budgetTokens: number
  readonly kvTier: TierOptions | null
}

export interface BoundedOutcome {
  readonly ids: readonly number[]
  readonly peakRssBytes: number
  /** null where the system does not tell. */
  readonly dataBytes: number | null
  readonly error: string | null
}

process.once('message', async (message) => {
  const ids: number[] = []
  let error: string | null = null
  try {
    await answer(message as BoundedTask, ids)
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught)
  }
  const outcome: BoundedOutcome = { ids, peakRssBytes: peakRssBytes(), dataBytes: dataBytes(), error }
  process.send?.(outcome, () => process.exit())
})

async function answer(task: BoundedTask, ids: number[]): Promise<void> {
  const contextTokens = task.tokens.length + task.maxTokens
  const kernels = await loadKernels({ numThreads: task.threads })
  const model = await loadLlama({
    model: task.model,
    kernels,
    contextTokens,
    kvCapacityTokens: contextTokens + 64,
    ...(task.kvTier && { kvTier: task.kvTier }),
  })
  const policy = makePolicy({ spec: parsePolicySpec(task.policy), budget: task.budgetTokens })
  const sequence = model.createSequence({ policy })
  const sampler = createSampler()
  let logits = await sequence.prefill(task.tokens)
  while (ids.length < task.maxTokens) {
    ids.push(sampler.sample(logits))
    logits = await sequence.decode(ids.at(-1) as number)
  }
}
