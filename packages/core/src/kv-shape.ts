import type { RopeSpec } from './rope-spec.ts'

/** One attention layer. KV is stored once a KV head, never expanded to query heads. */
export interface LayerShape {
  readonly numHeads: number
  /** Divides numHeads; query head h reads KV head floor(h / (numHeads / numKvHeads)). */
  readonly numKvHeads: number
  readonly headDim: number
  readonly rope: RopeSpec | null
  /** Sliding-window layers see only the last windowTokens rows. Absent: all. */
  readonly windowTokens?: number
}

export interface KvShape {
  readonly layers: readonly LayerShape[]
}

/** Bytes of K and V of one token over all layers, at bytesPerValue (2 for f16). */
export function kvBytesPerToken(shape: KvShape, bytesPerValue: number): number {
  return shape.layers.reduce((sum, layer) => sum + 2 * layer.numKvHeads * layer.headDim * bytesPerValue, 0)
}
