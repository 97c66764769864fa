import type { EngineProfile, KvFormat, KvShape } from '@kvasir/core'
import type { Kernels } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'

const capabilities = [
  'select.runs',
  'select.native:segment-codes',
  'select.native:exact-scores',
  'select.per-query-head',
  'select.moved',
  'retain.per-head',
  'observe.query',
  'observe.keys',
  'observe.attention-mass',
  'observe.attention-weights',
  'observe.embeddings',
  'prefill.partial-rows',
  'kv.fork',
  'kv.rewind',
]

/** What policies may ask of this engine; `format` of one that has a donor store. */
export function engineProfile(
  config: LlamaConfig,
  kernels: Kernels,
  contextTokens: number,
  format: KvFormat | null,
): EngineProfile {
  return {
    name: 'llama',
    shape: kvShape(config),
    capabilities: new Set(format ? [...capabilities, 'kv.adopt', 'kv.export'] : capabilities),
    contextTokens,
    ...(format && { format }),
    kernels,
  }
}

export function kvShape({ numLayers, numHeads, numKvHeads, headDim, rope, slidingWindow }: LlamaConfig): KvShape {
  const layer = { numHeads, numKvHeads, headDim, rope, ...(slidingWindow !== null && { windowTokens: slidingWindow }) }
  return { layers: Array.from({ length: numLayers }, () => layer) }
}
