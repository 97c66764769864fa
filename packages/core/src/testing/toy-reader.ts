import { ShapeError } from '../errors.ts'
import type { Span } from '../segment.ts'
import { mergeSpans } from '../spans.ts'
import type { KvReader } from '../views.ts'
import type { ToyRows } from './toy-model.ts'
import { headDim, numKvHeads } from './toy-weights.ts'

/** Read access to the first numTokens rows. Throws a ShapeError for rows or heads that are not there. */
export function readToyRows(
  state: {
    readonly layers: readonly ToyRows[]
    readonly evicted: readonly Span[]
    readonly dropped: readonly (readonly ReadonlySet<number>[])[]
  },
  numTokens: number,
): KvReader {
  const read = (part: keyof ToyRows, layer: number, kvHead: number, start: number, end: number): Float32Array => {
    const rows = state.layers[layer]?.[part] ?? []
    if (
      !(start >= 0 && start <= end && end <= Math.min(numTokens, rows.length) && kvHead >= 0 && kvHead < numKvHeads)
    ) {
      const expected = `rows in [0, ${Math.min(numTokens, rows.length)}) of KV head 0 to ${numKvHeads - 1}`
      throw new ShapeError({ parameter: `kv.${part}`, expected, got: [layer, kvHead, start, end] })
    }
    const copy = new Float32Array((end - start) * headDim)
    for (let index = start; index < end; index++) {
      copy.set(rows[index].subarray(kvHead * headDim, (kvHead + 1) * headDim), (index - start) * headDim)
    }
    return copy
  }
  return {
    numTokens,
    evicted: state.evicted,
    dropped: (layer, kvHead) => {
      const rows = Array.from(state.dropped[layer][kvHead], (start) => ({ start, end: start + 1 }))
      return mergeSpans(state.evicted, rows)
    },
    keys: (layer, kvHead, start, end) => read('keys', layer, kvHead, start, end),
    values: (layer, kvHead, start, end) => read('values', layer, kvHead, start, end),
  }
}
