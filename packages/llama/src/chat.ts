import { Template } from '@huggingface/jinja'
import { checkKeys, KvasirError } from '@kvasir/core'
import type { GgufFile } from './gguf/gguf-file.ts'

/** The file has no chat template, or its template is broken, refuses or fails on the messages. */
export class ChatTemplateError extends KvasirError {}

/** One turn. Templates read `role` and `content`; some read more (tool calls, reasoning). */
export interface ChatMessage {
  /** Usually `system`, `user` or `assistant`. */
  readonly role: string
  readonly content: string
  readonly [field: string]: unknown
}

export interface RenderOptions {
  /**
   * End with the header of the assistant's turn, so that the model answers.
   * @default true
   */
  readonly addGenerationPrompt?: boolean
  /**
   * Tool descriptions, in the JSON schema that the model was trained on.
   * @default none
   */
  readonly tools?: readonly unknown[]
  /**
   * Further template variables, such as `{ enable_thinking: false }`.
   * @default {}
   */
  readonly variables?: Readonly<Record<string, unknown>>
}

/** A model's way of writing a conversation as one prompt. */
export interface ChatTemplate {
  /** The Jinja source; null for a model without one, whose `render` throws. */
  readonly source: string | null
  /**
   * The prompt text of a conversation. Encode it with `specialTokens: true`; note that control tokens which a message
   * spells out are then recognised too. Throws ChatTemplateError.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string
}

/**
 * The chat template of a model file (`tokenizer.chat_template`). It is interpreted, never compiled to code, though a
 * hostile template can loop for long. Nothing throws before `render`: a model with a broken template still takes text.
 */
export function readChatTemplate({ metadata }: Pick<GgufFile, 'metadata'>): ChatTemplate {
  const value = metadata.get('tokenizer.chat_template')
  const source = typeof value === 'string' ? value : null
  const specials = { bos_token: specialText(metadata, 'bos'), eos_token: specialText(metadata, 'eos') }
  let template: Template | null = null
  return {
    source,
    render(messages, options = {}) {
      checkKeys('render', options, ['addGenerationPrompt', 'tools', 'variables'])
      template ??= parseTemplate(source)
      const variables = {
        ...specials,
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? true,
        ...(options.tools === undefined ? {} : { tools: options.tools }),
      }
      try {
        return template.render(variables)
      } catch (cause) {
        throw templateError('messages that the template accepts', cause)
      }
    },
  }
}

function parseTemplate(source: string | null): Template {
  if (source === null) {
    throw new ChatTemplateError({
      parameter: 'tokenizer.chat_template',
      expected: 'a Jinja template in the model file',
      got: undefined,
      remedy: 'This is a base model: give it plain text instead of messages.',
    })
  }
  try {
    return new Template(source)
  } catch (cause) {
    throw templateError('a valid Jinja template', cause)
  }
}

function templateError(expected: string, cause: unknown): ChatTemplateError {
  return new ChatTemplateError({ parameter: 'tokenizer.chat_template', expected, got: cause, cause })
}

/** The text of a special token, empty where the file names none. */
function specialText(metadata: GgufFile['metadata'], name: string): string {
  const tokens = metadata.get('tokenizer.ggml.tokens')
  const id = metadata.get(`tokenizer.ggml.${name}_token_id`)
  return (Array.isArray(tokens) && typeof id === 'number' && tokens[id]) || ''
}
