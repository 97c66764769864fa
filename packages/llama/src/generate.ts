import type { LlamaModel } from './model.ts'
import { createSampler, type SamplerOptions } from './sampler.ts'
import type { Sequence } from './sequence.ts'
import { TextStream } from './text-stream.ts'

export interface GenerateOptions {
  /** Most new tokens. @default up to the end of the context */
  readonly maxTokens?: number
  /** @default greedy */
  readonly sampler?: SamplerOptions
  /** Ends after the text contains one of these; the stop text itself is part of the output. @default none */
  readonly stop?: readonly string[]
  readonly signal?: AbortSignal
}

/** One generated token and the text that it adds ('' while a character is unfinished). */
export interface GeneratedToken {
  readonly token: number
  readonly text: string
}

/**
 * Prefills `prompt` densely, or borrows rows for it where the policy does, then yields tokens one by one under the
 * sequence's policy, until an end-of-text token, a stop text or maxTokens. After the last it publishes and audits what the
 * policy says. Leaving the loop early is fine: the sequence then holds what was decoded.
 */
export async function* generate(
  model: LlamaModel,
  sequence: Sequence,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken> {
  yield* reply(model, sequence, prompt, options)
  const abort = options.signal && { signal: options.signal }
  await sequence.publish(abort)
  await sequence.audit(abort)
}

async function* reply(
  model: LlamaModel,
  sequence: Sequence,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken> {
  const { signal, stop = [] } = options
  const sampler = createSampler(options.sampler ?? {})
  const text = model.tokenizer ? new TextStream(model.tokenizer) : null
  const ends = new Set(model.tokenizer?.eosIds ?? [])
  let logits = await sequence.prefill(prompt, { ...(signal && { signal }) })
  const limit = Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, model.contextTokens - sequence.numTokens)
  let written = ''
  for (let count = 0; count < limit; count++) {
    const token = sampler.sample(logits)
    if (ends.has(token)) return
    const piece = text?.push(token) ?? ''
    written += piece
    yield { token, text: piece }
    if (count + 1 === limit || stop.some((end) => written.includes(end))) return
    logits = await sequence.decode(token, { ...(signal && { signal }) })
  }
}
