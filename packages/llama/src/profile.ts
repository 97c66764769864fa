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
      'observe.query',
      'observe.keys',
      'kv.fork',
      'kv.rewind',
    ]),
    contextTokens,
    kernels,
  }
}
