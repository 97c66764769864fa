import { type EvalTier, kvTierOf } from '@kvasir/eval'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { note } from './output.ts'

export const modelOption = ['--model <file>', 'GGUF model of the Llama family', modelPath] as const

/**
 * Loads a model, with its KV rows in `tier` if there is one. Cache policies that fail are put aside with a word on stderr,
 * where it also says what the tier was refused.
 */
export async function openModel(path: string, tier?: EvalTier): Promise<LlamaModel> {
  const model = await loadLlama({
    model: path,
    onQuarantine: ({ policy, hook, error }) => note(`policy ${policy} failed in ${hook} and is put aside: ${error}`),
    ...(tier && { kvTier: kvTierOf(tier) }),
  })
  for (const { reason } of model.tierNotes) note(reason)
  return model
}
