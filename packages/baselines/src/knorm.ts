import type { CachePolicy } from '@kvasir/core'
import { type KeyOptions, keyPolicy } from './key-policy.ts'

export interface KeyNormOptions extends KeyOptions {}

/**
 * Key norms (Devoto et al. 2024, arXiv 2406.11430): keeps, a KV head, the prompt's rows with the smallest keys, which draw
 * the most attention. Needs no attention. Holds and attends them, sinks, recent rows, and generated rows as `generated` says.
 */
export function keyNorm(options: KeyNormOptions): CachePolicy {
  return keyPolicy('knorm', options, { type: 'KeyNormOptions', score: smallness })
}

/** Scores of keys [numRows][headDim]: minus their length. */
function smallness(keys: Float32Array, headDim: number): Float32Array {
  return Float32Array.from({ length: keys.length / headDim }, (_, row) => {
    let squares = 0
    for (let i = row * headDim; i < (row + 1) * headDim; i++) squares += keys[i] * keys[i]
    return -Math.sqrt(squares)
  })
}
