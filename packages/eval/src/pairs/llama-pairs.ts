import { encodeChat, type LlamaModel, type Sequence } from '@kvasir/llama'
import { tokenizerOf } from '../case-run.ts'
import type { PairEngine, PairSequence } from './pair-engine.ts'

/** The reference engine as pairs see it. */
export function llamaPairs(model: LlamaModel): PairEngine {
  const tokenizer = tokenizerOf(model)
  return {
    createSequence: (options) => sequenceOf(model.createSequence(options)),
    encodePrompt: (content) => encodeChat(model, [{ role: 'user', content }]),
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(ids),
    eosIds: tokenizer.eosIds,
  }
}

function sequenceOf(sequence: Sequence): PairSequence {
  return {
    prefill: (tokens, options) => sequence.prefill(tokens, options),
    decode: (token, options) => sequence.decode(token, options),
    fork: async () => sequenceOf(await sequence.fork()),
    publish: () => sequence.publish(),
    reuse: () => sequence.report().reuse,
    [Symbol.asyncDispose]: () => sequence.dispose(),
  }
}
