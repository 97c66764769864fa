import type { KvShape } from '../kv-shape.ts'
import { seededRandom } from './random.ts'

export const numLayers = 2
export const numHeads = 4
export const numKvHeads = 2
export const headDim = 8
export const width = numHeads * headDim
export const hiddenWidth = 64
/** One token a byte. */
export const vocabSize = 256
export const theta = 10_000

export const toyShape: KvShape = {
  layers: Array.from({ length: numLayers }, () => ({
    numHeads,
    numKvHeads,
    headDim,
    rope: { pairing: 'half' as const, rotaryDim: headDim, theta, scaling: { kind: 'none' as const } },
  })),
}

/** Matrices [out][in]. */
export interface ToyLayer {
  readonly query: Float32Array
  readonly key: Float32Array
  readonly value: Float32Array
  readonly output: Float32Array
  readonly up: Float32Array
  readonly down: Float32Array
}

export interface ToyWeights {
  /** [vocabSize][width] */
  readonly embedding: Float32Array
  readonly layers: readonly ToyLayer[]
  /** [vocabSize][width] */
  readonly head: Float32Array
}

/** Random weights; queries and keys are scaled up so that attention is peaked and policies differ. */
export function toyWeights(seed: number): ToyWeights {
  const random = seededRandom(seed)
  const matrix = (rows: number, cols: number, gain = 1) => random.normals(rows * cols, gain / Math.sqrt(cols))
  return {
    embedding: random.normals(vocabSize * width),
    layers: Array.from({ length: numLayers }, () => ({
      query: matrix(width, width, 1.6),
      key: matrix(numKvHeads * headDim, width, 1.6),
      value: matrix(numKvHeads * headDim, width),
      output: matrix(width, width),
      up: matrix(hiddenWidth, width),
      down: matrix(width, hiddenWidth),
    })),
    head: matrix(vocabSize, width, 3),
  }
}

/** [ids.length][width] */
export function embeddingRows({ embedding }: ToyWeights, ids: Int32Array): Float32Array {
  const rows = new Float32Array(ids.length * width)
  ids.forEach((id, at) => {
    rows.set(embedding.subarray(id * width, (id + 1) * width), at * width)
  })
  return rows
}
