import type { BlockSummary } from './block-index.ts'

/** One vector: the mean of the keys. */
export const meanKey: BlockSummary = {
  numVectors: 1,
  join: 'mass',
  vectorFor: () => 0,
  summarise(keys, headDim, vectors) {
    for (let at = 0; at < keys.length; at++) vectors[at % headDim] += keys[at]
    const numRows = keys.length / headDim
    for (let channel = 0; channel < headDim; channel++) vectors[channel] /= numRows
  },
}
