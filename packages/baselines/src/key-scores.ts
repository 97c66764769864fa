import { setImmediate } from 'node:timers/promises'
import { complementSpans, droppedSpans, type LayerShape, type PrefillView, type Span } from '@kvasir/core'

/** Scores [numTokens] of each KV head of a layer, from the keys that are held: each key is read once. */
export async function scoresOfKeys(
  { kv }: PrefillView,
  layer: number,
  { numKvHeads, headDim }: LayerShape,
  score: (keys: Float32Array, headDim: number) => Float32Array,
): Promise<Float32Array[]> {
  const ofHeads = Array.from({ length: numKvHeads }, (_, kvHead) => {
    const held = complementSpans(droppedSpans(kv, layer, kvHead), kv.numTokens)
    const keys = new Float32Array(held.reduce((sum, { start, end }) => sum + end - start, 0) * headDim)
    let filled = 0
    for (const { start, end } of held) {
      keys.set(kv.keys(layer, kvHead, start, end), filled)
      filled += (end - start) * headDim
    }
    return spread(score(keys, headDim), held, kv.numTokens)
  })
  await setImmediate() // a layer's keys at a time, so that the event loop goes on
  return ofHeads
}

/** Values of the rows of `spans`, put where they stand; zeros between. */
function spread(values: Float32Array, spans: readonly Span[], length: number): Float32Array {
  const spread = new Float32Array(length)
  let at = 0
  for (const { start, end } of spans) {
    spread.set(values.subarray(at, at + end - start), start)
    at += end - start
  }
  return spread
}
