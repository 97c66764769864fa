import { bestIndices, type KvShape, type RunList, runsOfIndices } from '@kvasir/core'

/** Share of the prompt's rows that a layer, counted from 0, keeps. */
export function retainedShare(layer: number, hotShare: number, retainShare: number, retainDecay: number): number {
  return Math.max(retainShare, hotShare) * retainDecay ** layer
}

/**
 * For each layer a list that keeps the share of the rows which received most attention, all KV heads the same, and the
 * last row. attention: [layer][numTokens]; layers without take that of the one before.
 */
export function keepByAttention(
  attention: readonly Float32Array[],
  shareOf: (layer: number) => number,
  { layers }: KvShape,
): RunList[] {
  return layers.map(({ numKvHeads }, layer) => {
    const received = Float64Array.from(attention[Math.min(layer, attention.length - 1)])
    received[received.length - 1] = Number.POSITIVE_INFINITY
    const places = Int32Array.from(received.keys())
    const kept = bestIndices(places, received, Math.max(1, Math.round(shareOf(layer) * received.length)))
    return runsOfIndices(Array.from({ length: numKvHeads }, () => kept))
  })
}
