import { checkInteger, type LayerShape, OptionError, type PrefillView } from '@kvasir/core'
import { attentionOf } from './prompt-attention.ts'

/** What SnapKV (Li et al. 2024, arXiv 2404.14469) ranks by. */
export interface WindowScoreOptions {
  /** Last rows of a prompt whose attention ranks the others; always read. @default 32 */
  readonly windowTokens?: number
  /** Width of the maximum that smooths the scores along the rows; odd. @default 7 */
  readonly poolTokens?: number
}

export const windowKeys = ['windowTokens', 'poolTokens'] as const

export function resolveWindow(options: WindowScoreOptions): Required<WindowScoreOptions> {
  const windowTokens = checkInteger('windowTokens', options.windowTokens ?? 32, 1)
  const poolTokens = checkInteger('poolTokens', options.poolTokens ?? 7, 1)
  if (poolTokens % 2 === 1) return { windowTokens, poolTokens }
  throw new OptionError({ parameter: 'poolTokens', expected: 'an odd number', got: poolTokens })
}

/**
 * Scores [numTokens] of each KV head of a layer: the attention that the window's rows pay, summed over them and over the
 * query heads of the KV head, then the largest of each `poolTokens` neighbours before the window.
 */
export async function windowScores(
  view: PrefillView,
  layer: number,
  { numHeads, numKvHeads }: LayerShape,
  { windowTokens, poolTokens }: Required<WindowScoreOptions>,
): Promise<Float32Array[]> {
  const attention = attentionOf(view)
  const window = Math.min(windowTokens, attention.windowTokens)
  const mass = await attention.windowMass(layer, window)
  const numTokens = mass.length / numHeads
  return Array.from({ length: numKvHeads }, (_, kvHead) => {
    const ofHead = sumHeads(mass, numTokens, (kvHead * numHeads) / numKvHeads, numHeads / numKvHeads)
    return maxPool(ofHead.subarray(0, numTokens - window), poolTokens, numTokens)
  })
}

/** Sum of rows [first, first + count) of mass [numHeads][numTokens]. */
function sumHeads(mass: Float32Array, numTokens: number, first: number, count: number): Float32Array {
  const sum = mass.slice(first * numTokens, (first + 1) * numTokens)
  for (let head = first + 1; head < first + count; head++) {
    for (let index = 0; index < numTokens; index++) sum[index] += mass[head * numTokens + index]
  }
  return sum
}

/** The largest of the `width` values around each; [length], zeros beyond the values. */
function maxPool(values: Float32Array, width: number, length: number): Float32Array {
  const pooled = new Float32Array(length)
  const reach = (width - 1) / 2
  for (let at = 0; at < values.length; at++) {
    const end = Math.min(values.length, at + reach + 1)
    let most = values[at]
    for (let near = Math.max(0, at - reach); near < end; near++) most = Math.max(most, values[near])
    pooled[at] = most
  }
  return pooled
}
