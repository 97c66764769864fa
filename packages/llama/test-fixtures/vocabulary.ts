import type { GgufValue } from '../src/gguf/header.ts'
import { byteAlphabet } from '../src/tokenizer/byte-alphabet.ts'

/** Metadata of a small byte-level BPE tokenizer: 256 bytes, then the results of `merges`, then the given specials. */
export function vocabularyMetadata(options: {
  readonly merges?: readonly string[]
  readonly control?: readonly string[]
  readonly userDefined?: readonly string[]
  readonly pre?: string
}): Map<string, GgufValue> {
  const { merges = [], control = [], userDefined = [], pre = 'gpt-2' } = options
  const normal = [...byteAlphabet().characters, ...new Set(merges.map((merge) => merge.replace(' ', '')))]
  const kinds = [...normal.map(() => 1), ...control.map(() => 3), ...userDefined.map(() => 4)]
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', pre],
    ['tokenizer.ggml.tokens', [...normal, ...control, ...userDefined]],
    ['tokenizer.ggml.token_type', Int32Array.from(kinds)],
    ['tokenizer.ggml.merges', merges],
  ])
}
