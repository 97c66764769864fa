import type { ChatMessage, RenderOptions } from './chat.ts'
import type { LlamaModel } from './model.ts'
import { ModelError } from './model-error.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'

/** Ids of a plain text, with the model's beginning-of-sequence token in front where it wants one. */
export function encodePrompt(model: LlamaModel, text: string): Int32Array {
  const tokenizer = requireTokenizer(model)
  return withBos(tokenizer, tokenizer.encode(text))
}

/**
 * Ids of a conversation, written by the model's chat template. Control tokens that a message spells out are recognised
 * too. Throws ChatTemplateError where the file has no template.
 */
export function encodeChat(
  model: LlamaModel,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
): Int32Array {
  const tokenizer = requireTokenizer(model)
  return withBos(tokenizer, tokenizer.encode(model.chatTemplate.render(messages, options), { specialTokens: true }))
}

function requireTokenizer({ tokenizer }: LlamaModel): Tokenizer {
  if (tokenizer) return tokenizer
  throw new ModelError(
    'unsupported-feature',
    'tokenizer.ggml.model',
    'a tokenizer in the file',
    'no_vocab',
    'Pass token ids.',
  )
}

/** Templates often write the token themselves: never two of them. */
function withBos(tokenizer: Tokenizer, ids: Int32Array): Int32Array {
  const { addsBos, bosId } = tokenizer
  if (!addsBos || bosId === null || ids[0] === bosId) return ids
  return Int32Array.of(bosId, ...ids)
}
