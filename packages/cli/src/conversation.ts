import {
  type ChatMessage,
  encodeChat,
  generate,
  type LlamaModel,
  type Sequence,
  type SequenceOptions,
} from '@kvasir/llama'

export interface ReplyOptions {
  readonly maxTokens: number
  readonly signal?: AbortSignal
}

/**
 * A conversation over one sequence. A turn appends exactly the text that the chat template adds to what was said before,
 * so no earlier token is computed or tokenised anew; a template that rewrites its past costs what it rewrites.
 */
export class Conversation implements AsyncDisposable {
  readonly #model: LlamaModel
  readonly #options: SequenceOptions
  #sequence: Sequence
  #messages: ChatMessage[] = []
  /** What the sequence stands for, and tokens of it that were drawn and not yet decoded. null: not known. */
  #held: { readonly text: string; readonly pending: readonly number[] } | null = null

  constructor(model: LlamaModel, options: SequenceOptions) {
    this.#model = model
    this.#options = options
    this.#sequence = model.createSequence(options)
  }

  /** Ids of the tokens held. */
  tokens(): Int32Array {
    return this.#sequence.tokens()
  }

  /** Forgets everything. */
  async reset(): Promise<void> {
    await this.#sequence.dispose()
    this.#sequence = this.#model.createSequence(this.#options)
    this.#messages = []
    this.#held = null
  }

  /**
   * Yields the reply to a message as it is made; stop it early by the signal. After an abort the message and what came of
   * the reply stay part of the conversation; after any other error the message is taken back.
   */
  async *say(content: string, { maxTokens, signal }: ReplyOptions): AsyncGenerator<string> {
    const before = this.#messages
    this.#messages = [...before, { role: 'user', content }]
    const prompt = this.#model.chatTemplate.render(this.#messages)
    const ids: number[] = []
    let reply = ''
    try {
      const tokens = await this.#newTokens(prompt)
      this.#held = null
      const promptEnd = this.#sequence.numTokens + tokens.length
      for await (const { token, text } of generate(this.#model, this.#sequence, tokens, {
        maxTokens,
        ...(signal && { signal }),
      })) {
        ids.push(token)
        reply += text
        yield text
      }
      this.#held = { text: prompt + reply, pending: ids.slice(this.#sequence.numTokens - promptEnd) }
    } catch (error) {
      if (!signal?.aborted) {
        this.#messages = before
        throw error
      }
    }
    this.#messages = [...this.#messages, { role: 'assistant', content: reply }]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sequence.dispose()
  }

  /** Tokens to append so that the sequence stands for `prompt`; rewinds it where it holds something else. */
  async #newTokens(prompt: string): Promise<number[]> {
    const held = this.#held
    const { tokenizer } = this.#model
    if (tokenizer && held && prompt.startsWith(held.text)) {
      const added = tokenizer.encode(prompt.slice(held.text.length), { specialTokens: true })
      return [...held.pending, ...added]
    }
    const wanted = encodeChat(this.#model, this.#messages)
    const tokens = this.#sequence.tokens()
    let same = 0
    while (same < wanted.length - 1 && wanted[same] === tokens[same]) same++
    await this.#sequence.rewind(same)
    return [...wanted.subarray(same)]
  }
}
