import { DisposedError, KvasirError, OptionError } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import type { SequenceState } from './sequence-state.ts'

/** More tokens than a sequence may hold. */
export class ContextError extends KvasirError {}

/** `tokens` as ids that may be appended to the sequence; throws DisposedError, OptionError or ContextError. */
export function checkRequest(parts: EngineParts, state: SequenceState, tokens: ArrayLike<number>): Int32Array {
  if (state.disposed) {
    throw new DisposedError({ parameter: 'sequence', expected: 'a sequence in use', got: `${state.id}, disposed` })
  }
  const { vocabSize } = parts.config
  if (tokens.length === 0) {
    throw new OptionError({ parameter: 'tokens', expected: 'at least one token', got: 'an empty prompt' })
  }
  for (let i = 0; i < tokens.length; i++) {
    const id = tokens[i] as number
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new OptionError({ parameter: `tokens[${i}]`, expected: `an id in [0, ${vocabSize})`, got: id })
    }
  }
  const total = state.tokens.length + tokens.length
  if (total > parts.contextTokens) {
    throw new ContextError({
      parameter: 'tokens',
      expected: `at most ${parts.contextTokens} tokens in a sequence`,
      got: `${state.tokens.length} held and ${tokens.length} more`,
      remedy: 'Shorten the prompt, rewind the sequence, or load the model with a larger contextTokens.',
    })
  }
  return Int32Array.from(tokens)
}
