import type { EngineProfile } from '@kvasir/core'
import type { Kernels } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'

/** What policies may ask of this engine. */
export function engineProfile(config: LlamaConfig, kernels: Kernels, contextTokens: number): EngineProfile {
  const { numHeads, numKvHeads, headDim, rope, slidingWindow } = config
  const layer = { numHeads, numKvHeads, headDim, rope, ...(slidingWindow !== null && { windowTokens: slidingWindow }) }
  return {
    name: 'llama',
    shape: { layers: Array.from({ length: config.numLayers }, () => layer) },
    capabilities: new Set([
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
      'kv.fork',
      'kv.rewind',
    ]),
    contextTokens,
    kernels,
  }
}
