import type { CachePolicy } from '@kvasir/core'
import { type KeyOptions, keyPolicy } from './key-policy.ts'

export interface KeyDiffOptions extends KeyOptions {}

/**
 * KeyDiff (Park et al. 2025, arXiv 2504.15364): keeps, a KV head, the prompt's rows whose keys are least like the mean of all
 * keys, each taken at length 1. Needs no attention. Holds and attends them, sinks, recent rows, and generated rows as
 * `generated` says.
 */
export function keyDiff(options: KeyDiffOptions): CachePolicy {
  return keyPolicy('keydiff', options, { type: 'KeyDiffOptions', score: unlikeness })
}

/** Scores of keys [numRows][headDim]: minus the cosine between a key and the mean of all of them at length 1. */
function unlikeness(keys: Float32Array, headDim: number): Float32Array {
  const mean = new Float64Array(headDim)
  const norms = new Float64Array(keys.length / headDim)
  for (let row = 0; row < norms.length; row++) {
    for (let i = row * headDim; i < (row + 1) * headDim; i++) norms[row] += keys[i] * keys[i]
    norms[row] = Math.sqrt(norms[row])
    if (norms[row] === 0) continue
    for (let i = 0; i < headDim; i++) mean[i] += keys[row * headDim + i] / norms[row]
  }
  const length = Math.hypot(...mean)
  return Float32Array.from(norms, (norm, row) => {
    let dot = 0
    for (let i = 0; i < headDim; i++) dot += mean[i] * keys[row * headDim + i]
    return norm === 0 || length === 0 ? 0 : -dot / (norm * length)
  })
}
