import type { LlamaConfig, SequenceReport } from '@kvasir/llama'

/** What a run held and read, and how it chose; counts of tokens are means a step, layer and KV head. */
export interface MemoryFields {
  readonly attendedTokensMean: number
  /** Keys read exactly to choose among, the attended ones not counted twice. */
  readonly poolTokensMean: number
  /** Rows that must be kept to go on at the end, a layer and KV head. */
  readonly heldTokens: number
  /**
   * What the step that read most read, so what a fast tier has to hold: attended K and V, pooled keys, and the indexes as
   * they are at the end.
   */
  readonly hotBytes: number
  /** Held KV rows that could lie elsewhere at that step. */
  readonly warmBytes: number
  /** What came up from the lower tier, a step; null where all rows lie in one memory. */
  readonly movedBytesPerToken: number | null
  /** Steps that read every row. */
  readonly denseSteps: number
  /** Share of choices (a KV head of a layer and step) that a native selector proved to be the exact ones; 0 unless asked for. */
  readonly certifiedHeadsShare: number
  /** Share of steps (of a layer) that a native selector answered by an earlier choice. */
  readonly reusedStepsShare: number
}

/**
 * Reads the fields off a sequence that has decoded; all means are NaN where it has not. `movedBytes` is what its steps
 * moved up from a lower tier, null without one.
 */
export function memoryOf(
  report: Omit<SequenceReport, 'reusedTokens' | 'selectMs' | 'reuse'>,
  { numLayers, numKvHeads }: Pick<LlamaConfig, 'numLayers' | 'numKvHeads'>,
  movedBytes: number | null = null,
): MemoryFields {
  const { numTokens, decodeSteps, denseSteps, kvBytes, indexBytes } = report
  const rowsPerToken = numLayers * numKvHeads
  const rowBytes = kvBytes / (numTokens * rowsPerToken)
  const heldBytes = report.heldTokens * rowBytes
  const pooledKeys = Math.max(0, report.peakPooledTokens - report.peakAttendedTokens)
  const readBytes = Math.min(heldBytes, report.peakAttendedTokens * rowBytes + (pooledKeys * rowBytes) / 2)
  return {
    attendedTokensMean: report.attendedTokens / (decodeSteps * rowsPerToken),
    poolTokensMean: report.pooledTokens / (decodeSteps * rowsPerToken),
    heldTokens: report.heldTokens / rowsPerToken,
    hotBytes: Math.round(readBytes + indexBytes),
    warmBytes: Math.round(heldBytes - readBytes),
    movedBytesPerToken: movedBytes === null ? null : movedBytes / decodeSteps,
    denseSteps,
    certifiedHeadsShare: report.certifiedHeads / (decodeSteps * rowsPerToken),
    reusedStepsShare: report.reusedCalls / (decodeSteps * numLayers),
  }
}
