import type { DonorStore } from '../donors.ts'
import { openGuarded } from '../guard.ts'
import { checkInteger, checkKeys } from '../options.ts'
import { privateScope, validateScope } from '../scope.ts'
import type { EngineUnderTest, SequenceTestOptions } from './engine-under-test.ts'
import { memoryDonors } from './memory-donors.ts'
import { type ToyReport, ToySequence, type ToyShared } from './toy-sequence.ts'
import { numKvHeads, numLayers, toyShape, toyWeights } from './toy-weights.ts'

export interface ToyEngineOptions {
  /** Of the random weights. @default 1 */
  readonly seed?: number
  /** @default 4096 */
  readonly contextTokens?: number
  /** Where published rows go. @default a `memoryDonors()` of its own */
  readonly donors?: DonorStore
}

export interface ToyGenerateOptions extends SequenceTestOptions {
  /** Required. */
  readonly maxTokens: number
  /** @default the whole prompt */
  readonly chunkTokens?: number
  readonly signal?: AbortSignal
}

export interface ToyGeneration {
  readonly tokens: readonly number[]
  readonly text: string
  readonly report: ToyReport
}

export interface ToyEngine extends EngineUnderTest {
  createSequence(options?: SequenceTestOptions): ToySequence
  /** Reads the prompt, then writes maxTokens tokens greedily, publishes what the policy says, and closes the sequence. */
  generate(prompt: string, options: ToyGenerateOptions): Promise<ToyGeneration>
}

/**
 * A two-layer transformer with random weights in plain TypeScript: 4 heads, 2 KV heads, headDim 8, a token a byte. It
 * carries out the whole contract but for tiers, so that policies are tested without a model.
 */
export function toyEngine(options: ToyEngineOptions = {}): ToyEngine {
  checkKeys('toyEngine', options, ['seed', 'contextTokens', 'donors'])
  const seed = checkInteger('seed', options.seed ?? 1, 0)
  const shared: ToyShared = {
    profile: {
      name: 'toy',
      shape: toyShape,
      capabilities: new Set(capabilities),
      contextTokens: checkInteger('contextTokens', options.contextTokens ?? 4096, 1),
      format: { model: `toy-${seed}`, type: 'f32', shape: toyShape },
    },
    weights: toyWeights(seed),
    donors: options.donors ?? memoryDonors(),
    numSequences: 0,
  }
  const createSequence = (sequence: SequenceTestOptions = {}) => openSequence(shared, sequence)
  return { profile: shared.profile, createSequence, generate: (prompt, wish) => generate(createSequence, prompt, wish) }
}

const capabilities = [
  'select.runs',
  'select.per-query-head',
  'select.moved',
  'observe.query',
  'observe.keys',
  'observe.attention-mass',
  'observe.attention-weights',
  'observe.embeddings',
  'retain.evict',
  'retain.per-head',
  'kv.fork',
  'kv.rewind',
  'kv.adopt',
  'kv.export',
  'prefill.partial-rows',
]

/** The token ids of a text: its UTF-8 bytes. */
export function toyTokens(text: string): Int32Array {
  return Int32Array.from(new TextEncoder().encode(text))
}

function openSequence(shared: ToyShared, options: SequenceTestOptions): ToySequence {
  checkKeys('createSequence', options, ['policy', 'scope', 'onQuarantine'])
  if (options.scope) validateScope(options.scope)
  const { policy, onQuarantine = () => {}, scope = privateScope() } = options
  const id = `toy-${++shared.numSequences}`
  const session = policy ? openGuarded(policy, { id, profile: shared.profile, scope }, { onQuarantine }) : null
  return new ToySequence(shared, policy, {
    id,
    scope,
    session,
    effects: policy?.effects ?? null,
    tokens: [],
    layers: Array.from({ length: numLayers }, () => ({ queries: [], keys: [], values: [] })),
    dropped: Array.from({ length: numLayers }, () => Array.from({ length: numKvHeads }, () => new Set<number>())),
    evicted: [],
    exactTokens: 0,
    decodeSteps: 0,
    attendedTokens: 0,
  })
}

async function generate(
  createSequence: (options: SequenceTestOptions) => ToySequence,
  prompt: string,
  options: ToyGenerateOptions,
): Promise<ToyGeneration> {
  const { maxTokens, chunkTokens, signal, ...sequenceOptions } = options
  checkInteger('maxTokens', maxTokens, 0)
  const sequence = createSequence(sequenceOptions)
  try {
    const abort = signal && { signal }
    let logits = await sequence.prefill(toyTokens(prompt), {
      ...(chunkTokens !== undefined && { chunkTokens }),
      ...abort,
    })
    const tokens: number[] = []
    while (tokens.length < maxTokens) {
      tokens.push(logits.indexOf(Math.max(...logits)))
      logits = await sequence.decode(tokens[tokens.length - 1], abort)
    }
    await sequence.publish()
    return { tokens, text: new TextDecoder().decode(Uint8Array.from(tokens)), report: sequence.report() }
  } finally {
    await sequence[Symbol.asyncDispose]()
  }
}
