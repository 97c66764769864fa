import type { LlamaConfig, SequenceReport } from '@kvasir/llama'

/** What a run held and read; counts of tokens are means a step, layer and KV head. */
export interface MemoryFields {
  readonly attendedTokensMean: number
  /** Keys read exactly to choose among, the attended ones not counted twice. */
  readonly poolTokensMean: number
  readonly heldTokens: number
  /** What a step reads on average, so what a fast tier would have to hold: attended K and V, pooled keys, indexes. */
  readonly hotBytes: number
  /** KV rows that could lie elsewhere. */
  readonly warmBytes: number
  /** 0 while all tiers are one memory. */
  readonly movedBytesPerToken: number
  /** Steps that read every row. */
  readonly denseSteps: number
}

/** Reads the fields off a sequence that has decoded; all means are NaN where it has not. */
export function memoryOf(
  report: SequenceReport,
  { numLayers, numKvHeads }: Pick<LlamaConfig, 'numLayers' | 'numKvHeads'>,
): MemoryFields {
  const { numTokens, decodeSteps, kvBytes, indexBytes } = report
  const perStep = decodeSteps * numLayers * numKvHeads
  const attendedTokensMean = report.attendedTokens / perStep
  const poolTokensMean = report.pooledTokens / perStep
  const bytesPerToken = kvBytes / numTokens
  const extraKeys = Math.max(0, poolTokensMean - attendedTokensMean)
  const readBytes = Math.min(kvBytes, attendedTokensMean * bytesPerToken + (extraKeys * bytesPerToken) / 2)
  return {
    attendedTokensMean,
    poolTokensMean,
    heldTokens: numTokens,
    hotBytes: Math.round(readBytes + indexBytes),
    warmBytes: Math.round(kvBytes - readBytes),
    movedBytesPerToken: 0,
    denseSteps: report.denseSteps,
  }
}
