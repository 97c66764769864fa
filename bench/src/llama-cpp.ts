import { KvasirError } from '@kvasir/core'
import type { LlamaContextSequence, Token } from 'node-llama-cpp'

/** llama.cpp is not there, or not as the comparison needs it. */
export class PeerError extends KvasirError {}

export interface PeerOptions {
  /** GGUF file. */
  readonly model: string
  readonly threads: number
  /** Most tokens of the sequence. */
  readonly contextTokens: number
}

/** llama.cpp as a contestant: one sequence of one context. */
export interface Peer extends AsyncDisposable {
  /** Milliseconds to compute the KV of the tokens in an empty sequence. */
  prefill(tokens: Int32Array): Promise<number>
  /** Milliseconds a token to append `tokens` one by one after what `prefill` left, logits and a greedy draw each; then forgets them. */
  decode(tokens: Int32Array): Promise<number>
}

/** Rows of one prefill call, as ours. */
const batchTokens = 512

/**
 * Opens llama.cpp as most of Node has it, node-llama-cpp's CPU build: flash attention, f16 KV, the same file, as many
 * threads as we use. It runs in this process: nobody else computes while a call of either engine is awaited, and both see
 * the same clock and the same pages of the file. (Peak memory is measured in a process that loads only ours.)
 */
export async function openPeer({ model: modelPath, threads, contextTokens }: PeerOptions): Promise<Peer> {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp').catch((cause) => {
    const remedy = 'Install node-llama-cpp 3.22 or newer beside @kvasir/bench.'
    throw new PeerError({ parameter: '--against', expected: 'node-llama-cpp', got: cause, remedy, cause })
  })
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
    logger: (_, message) => process.stderr.write(`llama.cpp: ${message}\n`),
  })
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: batchTokens,
    threads: { ideal: threads, min: threads },
    flashAttention: true,
    sequences: 1,
  })
  if (!context.flashAttention || context.currentThreads !== threads) {
    const got = `flash attention ${context.flashAttention}, ${context.currentThreads} threads`
    await llama.dispose()
    throw new PeerError({ parameter: 'llama.cpp', expected: `flash attention, ${threads} threads`, got })
  }
  const sequence = context.getSequence()
  return {
    prefill: (tokens) => prefill(sequence, [...tokens] as Token[]),
    decode: (tokens) => decode(sequence, [...tokens] as Token[]),
    [Symbol.asyncDispose]: () => llama.dispose(),
  }
}

async function prefill(sequence: LlamaContextSequence, tokens: Token[]): Promise<number> {
  await sequence.clearHistory()
  const startMs = performance.now()
  // The cheapest call there is: it computes no logits at all, where ours computes those of the last token.
  await sequence.evaluateWithoutGeneratingNewTokens(tokens)
  return performance.now() - startMs
}

async function decode(sequence: LlamaContextSequence, tokens: Token[]): Promise<number> {
  const start = sequence.nextTokenIndex
  const startMs = performance.now()
  // One generator for all tokens, fed the given token instead of the drawn one: the least work a token that its API allows.
  const drawn = sequence.evaluate([tokens[0]], { temperature: 0, yieldEogToken: true })
  await drawn.next()
  for (const token of tokens.slice(1)) await drawn.next([token])
  const ms = performance.now() - startMs
  await drawn.return()
  if (sequence.nextTokenIndex !== start + tokens.length) {
    const got = `${sequence.nextTokenIndex - start} tokens`
    throw new PeerError({ parameter: 'llama.cpp', expected: `${tokens.length} tokens decoded`, got })
  }
  await sequence.eraseContextTokenRanges([{ start, end: sequence.nextTokenIndex }])
  return ms / tokens.length
}
