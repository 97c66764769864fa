import { type LlamaModel, type LlamaOptions, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { note } from './output.ts'

export const modelOption = ['--model <file>', 'GGUF model of the Llama family', modelPath] as const

/** Loads a model whose cache policies, if they fail, are put aside with a word on stderr. */
export function openModel(options: LlamaOptions): Promise<LlamaModel> {
  return loadLlama({
    onQuarantine: ({ policy, hook, error }) => note(`policy ${policy} failed in ${hook} and is put aside: ${error}`),
    ...options,
  })
}
