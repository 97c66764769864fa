import { join } from 'node:path'
import type { CachePolicy, QuarantineEvent, Scope } from '@kvasir/core'
import type { EngineUnderTest, SequenceUnderTest } from '@kvasir/core/testing'
import { type LlamaModel, type LlamaOptions, loadLlama, type Sequence } from '@kvasir/llama'

/** A model of random weights, with 2 layers, 2 KV heads and no text. */
export const tinyModelPath = join(import.meta.dirname, '../../../llama/test-fixtures/gguf/llama-Q4_1.gguf')

/** The reference engine as tests of policies want it. */
export interface TestEngine {
  readonly model: LlamaModel
  /** As the contract's suites see it. */
  readonly underTest: EngineUnderTest
  /** A sequence whose policy must not be set aside: that throws. */
  open(policy?: CachePolicy, scope?: Scope): Sequence
}

type Listener = (event: QuarantineEvent) => void

/** Loads a model, by default the tiny one. */
export async function loadTestEngine(options: Partial<LlamaOptions> = {}): Promise<TestEngine> {
  const listeners = new Map<string, Listener>()
  const onQuarantine: Listener = (event) => listeners.get(event.sequence)?.(event)
  const model = await loadLlama({ model: tinyModelPath, kvCapacityTokens: 8192, ...options, onQuarantine })
  const adapt = (sequence: Sequence, listener?: Listener): SequenceUnderTest => {
    if (listener) listeners.set(sequence.id, listener)
    return {
      get numTokens() {
        return sequence.numTokens
      },
      prefill: (tokens, options) => sequence.prefill(tokens, options),
      decode: (token, options) => sequence.decode(token, options),
      fork: async () => adapt(await sequence.fork(), listener),
      rewind: (numTokens) => sequence.rewind(numTokens),
      [Symbol.asyncDispose]: () => sequence.dispose(),
    }
  }
  return {
    model,
    underTest: {
      profile: model.profile,
      createSequence: ({ onQuarantine: listener, ...rest }) => adapt(model.createSequence(rest), listener),
    },
    open: (policy, scope) => {
      const sequence = model.createSequence({ ...(policy && { policy }), ...(scope && { scope }) })
      listeners.set(sequence.id, ({ hook, error }) => {
        throw new Error(`set aside in ${hook}: ${error}`)
      })
      return sequence
    },
  }
}
