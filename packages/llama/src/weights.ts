import type { Kernels, Weight, WeightType } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'
import type { GgufFile } from './gguf/gguf-file.ts'
import type { TensorInfo } from './gguf/tensor-table.ts'

/** Weights of one decoder layer. Norms are float32; matrices stay as the file quantised them. */
export interface LayerWeights {
  readonly attentionNorm: Float32Array
  readonly q: Weight
  readonly k: Weight
  readonly v: Weight
  readonly qBias?: Float32Array
  readonly kBias?: Float32Array
  readonly vBias?: Float32Array
  /** [headDim], qwen3 only. */
  readonly qNorm?: Float32Array
  readonly kNorm?: Float32Array
  readonly attentionOutput: Weight
  readonly ffnNorm: Float32Array
  readonly gate: Weight
  readonly up: Weight
  readonly down: Weight
}

export interface LlamaWeights {
  /** [vocabSize][hiddenDim] */
  readonly embedding: Weight
  readonly layers: readonly LayerWeights[]
  readonly outputNorm: Float32Array
  /** The embedding itself where the file ties them. */
  readonly output: Weight
}

/** Loads every tensor, one at a time, so that no second copy of the file is ever held. */
export async function loadWeights(file: GgufFile, config: LlamaConfig, kernels: Kernels): Promise<LlamaWeights> {
  const matrix = async (name: string): Promise<Weight> => {
    const info = file.tensors.get(name) as TensorInfo
    const [cols, rows] = info.shape as [number, number]
    const rowBytes = info.byteLength / rows
    return kernels.loadWeight(info.type as WeightType, rows, cols, (first, count) =>
      file.readTensor(name, undefined, first * rowBytes, count * rowBytes),
    )
  }
  const vector = async (name: string): Promise<Float32Array> => {
    const bytes = await file.readTensor(name)
    return new Float32Array(bytes.slice().buffer)
  }
  const bias = async (use: boolean, name: string) => (use ? vector(name) : undefined)

  const embedding = await matrix('token_embd.weight')
  const layers: LayerWeights[] = []
  for (let layer = 0; layer < config.numLayers; layer++) {
    const name = (part: string) => `blk.${layer}.${part}`
    layers.push({
      attentionNorm: await vector(name('attn_norm.weight')),
      q: await matrix(name('attn_q.weight')),
      k: await matrix(name('attn_k.weight')),
      v: await matrix(name('attn_v.weight')),
      ...definedOnly({
        qBias: await bias(config.qkvBias, name('attn_q.bias')),
        kBias: await bias(config.qkvBias, name('attn_k.bias')),
        vBias: await bias(config.qkvBias, name('attn_v.bias')),
        qNorm: await bias(config.qkNorm, name('attn_q_norm.weight')),
        kNorm: await bias(config.qkNorm, name('attn_k_norm.weight')),
      }),
      attentionOutput: await matrix(name('attn_output.weight')),
      ffnNorm: await vector(name('ffn_norm.weight')),
      gate: await matrix(name('ffn_gate.weight')),
      up: await matrix(name('ffn_up.weight')),
      down: await matrix(name('ffn_down.weight')),
    })
  }
  return {
    embedding,
    layers,
    outputNorm: await vector('output_norm.weight'),
    output: config.tiedOutput ? embedding : await matrix('output.weight'),
  }
}

/** Frees the matrices. */
export function disposeWeights(weights: LlamaWeights): void {
  const all = new Set<Weight>([weights.embedding, weights.output])
  for (const { q, k, v, attentionOutput, gate, up, down } of weights.layers) {
    for (const weight of [q, k, v, attentionOutput, gate, up, down]) all.add(weight)
  }
  for (const weight of all) weight.dispose()
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> }

function definedOnly<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
