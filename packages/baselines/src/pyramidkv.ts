import { type CachePolicy, checkKeys, checkNumber } from '@kvasir/core'
import { type RankedOptions, rankedKeys, rankedPolicy, resolveRanked } from './ranked-policy.ts'
import type { RankingRule } from './ranked-session.ts'
import { resolveWindow, type WindowScoreOptions, windowKeys, windowScores } from './window-scores.ts'

export interface PyramidKvOptions extends RankedOptions, WindowScoreOptions {
  /** How many times less than the mean the last layer chooses; 1: every layer alike. @default 20 */
  readonly beta?: number
}

/**
 * PyramidKV (Cai et al. 2024, arXiv 2406.02069): SnapKV's ranking, with budgets that fall from the first layer to the last;
 * `budgetTokens` is their mean. Holds and attends, a layer, what SnapKV does.
 */
export function pyramidKv(options: PyramidKvOptions): CachePolicy {
  checkKeys('PyramidKvOptions', options, [...rankedKeys, ...windowKeys, 'beta'])
  const window = resolveWindow(options)
  const beta = checkNumber('beta', options.beta ?? 20, 1, 1e6)
  const resolved = resolveRanked(options, window.windowTokens)
  const fixed = resolved.sinkTokens + window.windowTokens
  const rule = {
    ...resolved,
    budgetOf: (layer, numLayers) => fixed + pyramidShare(resolved.budgetTokens - fixed, layer, numLayers, beta),
    scoresOf: (view, layer, shape) => windowScores(view, layer, shape, window),
  } satisfies RankingRule
  return rankedPolicy('pyramidkv', rule, { windowTokens: window.windowTokens })
}

/** A layer's part of mean * numLayers tokens: mean / beta at the last layer, rising linearly towards the first; sums exactly. */
export function pyramidShare(mean: number, layer: number, numLayers: number, beta: number): number {
  const last = mean / beta
  const fall = numLayers > 1 ? (2 * (mean - last)) / (numLayers - 1) : 0
  const first = numLayers > 1 ? 2 * mean - last : mean
  const upTo = (layers: number) => Math.round(layers * first - (fall * layers * (layers - 1)) / 2)
  return upTo(layer + 1) - upTo(layer)
}
