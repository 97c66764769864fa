import { OptionError } from '@kvasir/core'
import { type LlamaModel, type LlamaOptions, loadLlama, type Tokenizer } from '@kvasir/llama'
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

/** The model's tokenizer; throws OptionError for a model without text. */
export function needTokenizer({ tokenizer }: LlamaModel): Tokenizer {
  if (tokenizer) return tokenizer
  throw new OptionError({ parameter: '--model', expected: 'a model with a tokenizer', got: 'one without' })
}

/** Ids of a prompt, with the beginning-of-text token in front where the model wants it. */
export function encodePrompt(tokenizer: Tokenizer, text: string, specialTokens: boolean): Int32Array {
  const ids = tokenizer.encode(text, { specialTokens })
  if (!tokenizer.addsBos || tokenizer.bosId === null || ids[0] === tokenizer.bosId) return ids
  return Int32Array.of(tokenizer.bosId, ...ids)
}
