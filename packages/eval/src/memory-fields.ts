import type { LlamaConfig, SequenceReport } from '@kvasir/llama'

/** What a run held and read; counts of tokens are means a step, layer and KV head. */
export interface MemoryFields {
  readonly attendedTokensMean: number
  readonly poolTokensMean: number
  readonly heldTokens: number
  /** What a fast tier would have to hold: attended K and V, pooled keys, indexes. */
  readonly hotBytes: number
  /** KV rows that could lie elsewhere. */
  readonly warmBytes: number
  /** 0 while all tiers are one memory. */
  readonly movedBytesPerToken: number
  /** Steps that read every row. */
  readonly denseSteps: number
}

/** Reads the fields off a finished run. */
export function memoryOf(report: SequenceReport, config: LlamaConfig): MemoryFields {
  const { numTokens, decodeSteps, kvBytes, indexBytes } = report
  const heads = config.numLayers * config.numKvHeads
  const attendedTokensMean = report.attendedTokens / (decodeSteps * heads)
  const poolTokensMean = report.pooledTokens / (decodeSteps * heads)
  const bytesPerToken = kvBytes / numTokens
  const attendedBytes = attendedTokensMean * bytesPerToken
  const pooledKeyBytes = (Math.max(0, poolTokensMean - attendedTokensMean) * bytesPerToken) / 2
  return {
    attendedTokensMean,
    poolTokensMean,
    heldTokens: numTokens,
    hotBytes: Math.round(Math.min(kvBytes, attendedBytes + pooledKeyBytes) + indexBytes),
    warmBytes: Math.round(Math.max(0, kvBytes - attendedBytes - pooledKeyBytes)),
    movedBytesPerToken: 0,
    denseSteps: report.denseSteps,
  }
}
