import type { DonorStore } from '@kvasir/core'
import { type EvalTier, kvTierOf } from '@kvasir/eval'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { note } from './output.ts'

export const modelOption = ['--model <file>', 'GGUF model of the Llama family', modelPath] as const

/** Where KV lies, beside the memory of the model. */
export interface Stores {
  readonly tier?: EvalTier | undefined
  readonly donors?: DonorStore | undefined
}

/**
 * Loads a model with its stores. Cache policies that fail are put aside with a word on stderr, where it also says what the
 * tier was refused.
 */
export async function openModel(path: string, { tier, donors }: Stores = {}): Promise<LlamaModel> {
  const model = await loadLlama({
    model: path,
    onQuarantine: ({ policy, hook, error }) => note(`policy ${policy} failed in ${hook} and is put aside: ${error}`),
    ...(tier && { kvTier: kvTierOf(tier) }),
    ...(donors && { donors }),
  })
  for (const { reason } of model.tierNotes) note(reason)
  return model
}
