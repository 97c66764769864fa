/**
 * Synthetic prompts as services see them, each a function of its number alone: a system prompt out of 200, a passage of a
 * document that several prompts use, stock phrases, and an instruction of its own; one in ten is an edited earlier prompt.
 */
export interface PromptSource {
  /** About 1,000 tokens. */
  prompt(number: number): Int32Array
  /** A prompt whose tokens are to `share` those of `tokens`, in runs of at least 16, the others new. */
  resembling(tokens: Int32Array, share: number, seed: number): Int32Array
}

const vocabulary = 50_000
const numTemplates = 200
const numPhrases = 1000

export function createPromptSource(numPrompts: number): PromptSource {
  const numDocuments = Math.ceil(numPrompts / 5)
  const template = (number: number) => text(1, number, (random) => 50 + below(random, 250))
  const document = (number: number) => text(2, number, (random) => 600 + below(random, 2400))
  const phrase = (number: number) => text(3, number, () => 12)

  function prompt(number: number): Int32Array {
    const random = generator(4, number)
    if (number > 0 && random() < 0.1) return resembling(prompt(below(random, number)), 0.8, number)
    const whole = document(Math.floor(numDocuments * random() ** 2))
    const length = 300 + below(random, 800)
    const start = below(random, Math.max(1, whole.length - length))
    const phrases = Array.from({ length: 4 }, () => phrase(skewed(random, numPhrases)))
    const own = newTokens(random, 20 + below(random, 80))
    return join([template(skewed(random, numTemplates)), ...phrases, whole.subarray(start, start + length), own])
  }

  function resembling(tokens: Int32Array, share: number, seed: number): Int32Array {
    const random = generator(5, seed)
    const parts: Int32Array[] = []
    let carried = 0
    for (let at = 0; at < tokens.length; ) {
      const kept = 16 + below(random, 64)
      carried += (kept * (1 - share)) / share
      parts.push(tokens.subarray(at, at + kept))
      const replaced = Math.round(carried)
      carried -= replaced
      parts.push(newTokens(random, Math.min(replaced, Math.max(0, tokens.length - at - kept))))
      at += kept + replaced
    }
    return join(parts)
  }

  return { prompt, resembling }
}

function text(kind: number, number: number, lengthOf: (random: () => number) => number): Int32Array {
  const random = generator(kind, number)
  return newTokens(random, lengthOf(random))
}

/** Few tokens are frequent and most are rare. */
function newTokens(random: () => number, length: number): Int32Array {
  return Int32Array.from({ length }, () => skewed(random, vocabulary))
}

function skewed(random: () => number, end: number): number {
  return Math.floor(end * random() ** 3)
}

function below(random: () => number, end: number): number {
  return Math.floor(end * random())
}

function join(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Numbers in [0, 1) of one kind and number (SplitMix: Steele et al. 2014). */
function generator(kind: number, number: number): () => number {
  let state = Math.imul(number, 0x9e3779b1) ^ Math.imul(kind, 0x85ebca6b)
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
}
