import type { Batch, Kernels } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'

/** Activations and batch tables of one model, sized once, rewritten at every step. Rows are tokens of the batch. */
export interface Workspace {
  readonly maxRows: number
  readonly maxSequences: number
  /** [maxRows] */
  readonly ids: Int32Array
  /** [maxRows] physical page * 16 + offset */
  readonly slots: Int32Array
  /** [maxRows][rotaryDim / 2] */
  readonly cos: Float32Array
  readonly sin: Float32Array
  /** [maxRows][hiddenDim]: the residual stream, and its norm. */
  readonly hidden: Float32Array
  readonly normed: Float32Array
  /** [maxRows][numHeads][headDim] */
  readonly q: Float32Array
  readonly attended: Float32Array
  /** [maxRows][numKvHeads][headDim] */
  readonly k: Float32Array
  readonly v: Float32Array
  /** [maxRows][ffnDim] */
  readonly gate: Float32Array
  readonly up: Float32Array
  readonly batch: Batch
  /** [maxSequences] rows of `hidden` that get logits */
  readonly outputRows: Int32Array
  /** [maxSequences][hiddenDim] */
  readonly outputHidden: Float32Array
  /** [maxSequences][vocabSize] */
  readonly logits: Float32Array
}

export function createWorkspace(
  kernels: Kernels,
  config: LlamaConfig,
  maxRows: number,
  maxSequences: number,
  maxPagesPerSequence: number,
): Workspace {
  const floats = (count: number) => new Float32Array(kernels.allocate(count * 4), 0, count)
  const ints = (count: number) => new Int32Array(kernels.allocate(count * 4), 0, count)
  const { hiddenDim, ffnDim, numHeads, numKvHeads, headDim, vocabSize } = config
  const pairs = config.rope.rotaryDim / 2
  return {
    maxRows,
    maxSequences,
    ids: ints(maxRows),
    slots: ints(maxRows),
    cos: floats(maxRows * pairs),
    sin: floats(maxRows * pairs),
    hidden: floats(maxRows * hiddenDim),
    normed: floats(maxRows * hiddenDim),
    q: floats(maxRows * numHeads * headDim),
    attended: floats(maxRows * numHeads * headDim),
    k: floats(maxRows * numKvHeads * headDim),
    v: floats(maxRows * numKvHeads * headDim),
    gate: floats(maxRows * ffnDim),
    up: floats(maxRows * ffnDim),
    batch: {
      rowStarts: ints(maxSequences + 1),
      contextTokens: ints(maxSequences),
      pageStarts: ints(maxSequences + 1),
      pages: ints(maxSequences * maxPagesPerSequence),
    },
    outputRows: ints(maxSequences),
    outputHidden: floats(maxSequences * hiddenDim),
    logits: floats(maxSequences * vocabSize),
  }
}

/** What a layer leaves that nobody reads after a run. */
export function ofLayers({ normed, q, k, v, attended, gate, up }: Workspace): Float32Array[] {
  return [normed, q, k, v, attended, gate, up]
}
