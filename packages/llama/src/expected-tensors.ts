import type { LlamaConfig } from './config.ts'
import type { GgufFile } from './gguf/gguf-file.ts'
import { ModelError } from './model-error.ts'

/** Every tensor that the graph reads, name -> shape in GGUF order: [columns, rows] of a matrix, [length] of a vector. */
export function expectedTensors(config: LlamaConfig): ReadonlyMap<string, readonly number[]> {
  const { hiddenDim, ffnDim, headDim, vocabSize } = config
  const queryDim = config.numHeads * headDim
  const kvDim = config.numKvHeads * headDim
  const shapes = new Map<string, readonly number[]>()
  shapes.set('token_embd.weight', [hiddenDim, vocabSize])
  for (let layer = 0; layer < config.numLayers; layer++) {
    const set = (name: string, ...shape: number[]) => shapes.set(`blk.${layer}.${name}`, shape)
    set('attn_norm.weight', hiddenDim)
    set('attn_q.weight', hiddenDim, queryDim)
    set('attn_k.weight', hiddenDim, kvDim)
    set('attn_v.weight', hiddenDim, kvDim)
    if (config.qkvBias) {
      set('attn_q.bias', queryDim)
      set('attn_k.bias', kvDim)
      set('attn_v.bias', kvDim)
    }
    if (config.qkNorm) {
      set('attn_q_norm.weight', headDim)
      set('attn_k_norm.weight', headDim)
    }
    set('attn_output.weight', queryDim, hiddenDim)
    set('ffn_norm.weight', hiddenDim)
    set('ffn_gate.weight', hiddenDim, ffnDim)
    set('ffn_up.weight', hiddenDim, ffnDim)
    set('ffn_down.weight', ffnDim, hiddenDim)
  }
  shapes.set('output_norm.weight', [hiddenDim])
  if (!config.tiedOutput) shapes.set('output.weight', [hiddenDim, vocabSize])
  if (config.rope.scaling.kind === 'divisors') shapes.set('rope_freqs.weight', [config.rope.rotaryDim / 2])
  return shapes
}

/**
 * Checks the tensor table against the graph: each tensor there, in its shape, vectors in F32, and none that the graph
 * would not read, because a tensor left over means that the model computes something else. Throws ModelError.
 */
export function checkTensors(gguf: GgufFile, config: LlamaConfig): void {
  const shapes = expectedTensors(config)
  for (const [name, shape] of shapes) {
    const tensor = gguf.tensors.get(name)
    if (tensor === undefined) throw new ModelError('missing-tensor', name, `a tensor [${shape.join(', ')}]`, undefined)
    if (tensor.shape.length !== shape.length || tensor.shape.some((dimension, i) => dimension !== shape[i])) {
      throw new ModelError('wrong-shape', name, `[${shape.join(', ')}] (columns, rows)`, tensor.shape)
    }
    if (shape.length === 1 && tensor.type !== 'F32') {
      throw new ModelError('wrong-tensor-type', name, 'F32 for a vector', tensor.type)
    }
  }
  for (const name of gguf.tensors.keys()) {
    if (shapes.has(name)) continue
    throw new ModelError('unexpected-tensor', name, `a tensor of the ${config.architecture} graph`, name)
  }
}
