import type { RopeScaling, RopeSpec } from '@kvasir/core'
import type { GgufFile } from './gguf/gguf-file.ts'
import type { GgufValue } from './gguf/header.ts'
import { integerKey, numberKey, stringKey } from './metadata.ts'
import { ModelError } from './model-error.ts'

/** Architectures that the graph knows, by `general.architecture`, with the pairing of their stored q and k rows. */
const ARCHITECTURES = { llama: 'interleaved', mistral: 'interleaved', qwen2: 'half', qwen3: 'half' } as const

type Architecture = keyof typeof ARCHITECTURES

/** Everything that the graph of a Llama-family model depends on, beside its tensors. */
export interface LlamaConfig {
  readonly architecture: Architecture
  readonly numLayers: number
  /** Width of the residual stream. */
  readonly hiddenDim: number
  readonly ffnDim: number
  readonly numHeads: number
  /** Divides numHeads; query head h reads KV head floor(h * numKvHeads / numHeads). */
  readonly numKvHeads: number
  readonly headDim: number
  /** Context that the model was trained for. */
  readonly contextTokens: number
  readonly vocabSize: number
  readonly rmsEps: number
  readonly rope: RopeSpec
  /** q, k and v have biases. */
  readonly qkvBias: boolean
  /** Each q and k head is RMS-normed before RoPE. */
  readonly qkNorm: boolean
  /** The output matrix is the token embedding. */
  readonly tiedOutput: boolean
  /** Tokens that a query sees, itself included; null for all. */
  readonly slidingWindow: number | null
}

/** Bounds against nonsense, far above any model; they keep every product of two of them exact. */
const MAX_DIM = 2 ** 24
const MAX_TOKENS = 2 ** 31
const SMALLEST_LAYER_TENSORS = 9

/**
 * Reads the configuration from the metadata, and from the file what the metadata leaves to it (vocabulary size, biases,
 * tied output, RoPE divisors). Throws ModelError: an architecture or feature that the graph does not have, a key that is
 * missing, of the wrong type or out of range. Check the tensors with `checkTensors` afterwards.
 */
export async function readConfig(gguf: GgufFile): Promise<LlamaConfig> {
  const { metadata, tensors } = gguf
  const architecture = readArchitecture(metadata)
  const key = (name: string) => `${architecture}.${name}`
  refuseOtherGraphs(metadata, key)

  const numLayers = integerKey(metadata, key('block_count'), 1, Math.floor(tensors.size / SMALLEST_LAYER_TENSORS))
  const hiddenDim = integerKey(metadata, key('embedding_length'), 1, MAX_DIM)
  const numHeads = integerKey(metadata, key('attention.head_count'), 1, MAX_DIM)
  const numKvHeads = integerKey(metadata, key('attention.head_count_kv'), 1, numHeads, numHeads)
  if (numHeads % numKvHeads !== 0) {
    throw new ModelError(
      'bad-value',
      key('attention.head_count_kv'),
      `a divisor of ${numHeads} query heads`,
      numKvHeads,
    )
  }
  const headDim = readHeadDim(metadata, key, hiddenDim, numHeads)
  const contextTokens = integerKey(metadata, key('context_length'), 1, MAX_TOKENS)
  const window = integerKey(metadata, key('attention.sliding_window'), 0, MAX_TOKENS, 0)
  return {
    architecture,
    numLayers,
    hiddenDim,
    ffnDim: integerKey(metadata, key('feed_forward_length'), 1, MAX_DIM),
    numHeads,
    numKvHeads,
    headDim,
    contextTokens,
    vocabSize: readVocabSize(gguf, key('vocab_size')),
    rmsEps: numberKey(metadata, key('attention.layer_norm_rms_epsilon'), Number.MIN_VALUE, 1),
    rope: await readRope(gguf, architecture, headDim, contextTokens),
    qkvBias: tensors.has('blk.0.attn_q.bias'),
    qkNorm: architecture === 'qwen3',
    tiedOutput: !tensors.has('output.weight'),
    slidingWindow: window === 0 ? null : window,
  }
}

function readArchitecture(metadata: GgufFile['metadata']): Architecture {
  const name = stringKey(metadata, 'general.architecture')
  if (Object.hasOwn(ARCHITECTURES, name)) return name as Architecture
  const known = `one of ${Object.keys(ARCHITECTURES).join(', ')}`
  throw new ModelError('unsupported-architecture', 'general.architecture', known, name)
}

/** Keys that change the computation, with the one value under which our graph is still the right one. */
const PLAIN_GRAPH: Readonly<Record<string, GgufValue>> = {
  expert_count: 0,
  'attention.causal': true,
  'attention.scale': 0,
  attn_logit_softcapping: 0,
  final_logit_softcapping: 0,
  embedding_scale: 1,
  residual_scale: 1,
  logit_scale: 1,
}

function refuseOtherGraphs(metadata: GgufFile['metadata'], key: (name: string) => string): void {
  for (const [name, plain] of Object.entries(PLAIN_GRAPH)) {
    const value = metadata.get(key(name))
    if (value === undefined || value === plain) continue
    throw new ModelError('unsupported-feature', key(name), `${plain} or nothing`, value, 'Its graph is another one.')
  }
}

function readHeadDim(
  metadata: GgufFile['metadata'],
  key: (name: string) => string,
  hiddenDim: number,
  numHeads: number,
): number {
  const headDim = integerKey(metadata, key('attention.key_length'), 1, MAX_DIM, hiddenDim / numHeads)
  if (!Number.isInteger(headDim)) {
    throw new ModelError('bad-value', key('attention.head_count'), `a divisor of ${hiddenDim}`, numHeads)
  }
  integerKey(metadata, key('attention.value_length'), headDim, headDim, headDim)
  return headDim
}

function readVocabSize({ metadata, tensors }: GgufFile, key: string): number {
  const embedding = tensors.get('token_embd.weight')
  if (embedding === undefined) throw new ModelError('missing-tensor', 'token_embd.weight', 'a tensor', undefined)
  const rows = embedding.shape[1] ?? 1
  integerKey(metadata, key, rows, rows, rows)
  const tokens = metadata.get('tokenizer.ggml.tokens')
  if (Array.isArray(tokens) && tokens.length !== rows) {
    throw new ModelError(
      'bad-value',
      'tokenizer.ggml.tokens',
      `${rows} tokens, the rows of token_embd.weight`,
      tokens.length,
    )
  }
  return rows
}

async function readRope(
  gguf: GgufFile,
  architecture: Architecture,
  headDim: number,
  contextTokens: number,
): Promise<RopeSpec> {
  const key = `${architecture}.rope.dimension_count`
  const rotaryDim = integerKey(gguf.metadata, key, 2, headDim, headDim)
  if (rotaryDim % 2 !== 0) throw new ModelError('bad-value', key, 'an even number', rotaryDim)
  const theta = numberKey(gguf.metadata, `${architecture}.rope.freq_base`, 1, 1e12, 10_000)
  const scaling = readScaling(gguf.metadata, `${architecture}.rope`, contextTokens)
  const divisors = await readDivisors(gguf, rotaryDim)
  if (divisors !== null && scaling.kind !== 'none') {
    const place = `${architecture}.rope.scaling.type`
    throw new ModelError('unsupported-feature', place, 'none beside rope_freqs.weight', scaling.kind)
  }
  return {
    pairing: ARCHITECTURES[architecture],
    rotaryDim,
    theta,
    scaling: divisors === null ? scaling : { kind: 'divisors', divisors },
  }
}

/** A factor without a type means linear, as files older than the type key have it; a factor of 0 means none. */
function readScaling(metadata: GgufFile['metadata'], prefix: string, contextTokens: number): RopeScaling {
  const type = stringKey(metadata, `${prefix}.scaling.type`, 'linear')
  const older = numberKey(metadata, `${prefix}.scale_linear`, 0, 1e6, 0)
  const factor = numberKey(metadata, `${prefix}.scaling.factor`, 0, 1e6, older)
  if (type !== 'none' && type !== 'linear' && type !== 'yarn') {
    throw new ModelError('unsupported-feature', `${prefix}.scaling.type`, 'none, linear or yarn', type)
  }
  if (type === 'none' || factor === 0 || factor === 1) return { kind: 'none' }
  if (type === 'linear') return { kind: 'linear', factor }
  const paperFactor = 0.1 * Math.log(factor) + 1
  return {
    kind: 'yarn',
    factor,
    originalContextTokens: integerKey(
      metadata,
      `${prefix}.scaling.original_context_length`,
      1,
      MAX_TOKENS,
      contextTokens,
    ),
    betaFast: numberKey(metadata, `${prefix}.scaling.yarn_beta_fast`, 1e-6, 1e6, 32),
    betaSlow: numberKey(metadata, `${prefix}.scaling.yarn_beta_slow`, 1e-6, 1e6, 1),
    attentionFactor: paperFactor * numberKey(metadata, `${prefix}.scaling.attn_factor`, 1e-6, 1e6, 1),
  }
}

/** `rope_freqs.weight`: what each pair's frequency is divided by (how Llama 3.1 and later store their scaling). */
async function readDivisors(gguf: GgufFile, rotaryDim: number): Promise<number[] | null> {
  const name = 'rope_freqs.weight'
  const tensor = gguf.tensors.get(name)
  if (tensor === undefined) return null
  if (tensor.type !== 'F32') throw new ModelError('wrong-tensor-type', name, 'F32', tensor.type)
  if (tensor.shape.length !== 1 || tensor.shape[0] !== rotaryDim / 2) {
    throw new ModelError('wrong-shape', name, `[${rotaryDim / 2}]`, tensor.shape)
  }
  const bytes = await gguf.readTensor(name)
  const divisors = Array.from(new Float32Array(bytes.buffer, bytes.byteOffset, rotaryDim / 2))
  if (divisors.every((divisor) => divisor > 0 && divisor < Number.POSITIVE_INFINITY)) return divisors
  throw new ModelError('bad-value', name, 'finite divisors > 0', divisors)
}
