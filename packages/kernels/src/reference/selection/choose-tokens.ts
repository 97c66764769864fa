import { attentionValues } from './attention-values.ts'
import { chooseBudget } from './choose-budget.ts'

export interface BudgetRule {
  readonly budgetTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
  readonly jointHeads: boolean
}

export interface ChoiceInput extends BudgetRule {
  readonly numTokens: number
  readonly numKvHeads: number
  /** Query heads of a KV head. */
  readonly group: number
  /** Tokens of closed segments, from the first on; numTokens for a choice among all. */
  readonly indexedTokens: number
  /** Pool as a multiple of the budget; 0: choose by estimates alone; Infinity: by exact scores of all. */
  readonly poolFactor: number
  /** q.k * scale of query head `head` (of all) for these tokens. */
  exactScores(head: number, tokens: readonly number[]): ArrayLike<number>
  /** Estimates of the same for tokens [start, end) of closed segments. */
  estimatedScores(head: number, start: number, end: number): ArrayLike<number>
}

export interface Choice {
  /** Ascending tokens that each KV head attends. */
  readonly tokens: readonly (readonly number[])[]
  /** Keys read exactly to choose among, summed over KV heads. */
  readonly pooledTokens: number
}

/**
 * The choice of one layer and step. Sinks, recent tokens and everything behind the closed segments are always visible
 * and count in the budget. Candidates are the others: the best poolFactor * budgetTokens a KV head by estimate, of them
 * the best by exact score that the budget still allows.
 */
export function chooseTokens(input: ChoiceInput): Choice {
  const { numTokens, numKvHeads, group, budgetTokens, jointHeads, poolFactor } = input
  const end = Math.max(0, Math.min(input.indexedTokens, numTokens - input.recentTokens))
  const first = Math.min(input.sinkTokens, end)
  const visible = [...range(0, first), ...range(end, numTokens)]
  const wanted = Math.min(end - first, Math.max(0, budgetTokens - visible.length))
  const kvHeads = range(0, numKvHeads)
  const withVisible = (chosen: readonly number[]) => [...range(0, first), ...chosen, ...range(end, numTokens)]
  if (wanted === 0) return { tokens: kvHeads.map(() => withVisible([])), pooledTokens: 0 }
  if (wanted === end - first) return { tokens: kvHeads.map(() => withVisible(range(first, end))), pooledTokens: 0 }

  const headsOf = (kvHead: number) => range(kvHead * group, (kvHead + 1) * group)
  const seen = kvHeads.map((kvHead) => headsOf(kvHead).map((head) => input.exactScores(head, visible)))
  const exactRow = (kvHead: number, tokens: readonly number[]) => {
    const scores = headsOf(kvHead).map((head) => input.exactScores(head, tokens))
    return { tokens, values: attentionValues(scores, seen[kvHead]!) }
  }
  const estimatedRow = (kvHead: number) => {
    const scores = headsOf(kvHead).map((head) => input.estimatedScores(head, first, end))
    return { tokens: range(first, end), values: attentionValues(scores, seen[kvHead]!) }
  }

  const poolTokens = poolFactor > 0 ? Math.max(wanted, Math.min(Math.floor(poolFactor * budgetTokens), end - first)) : 0
  if (poolTokens === 0) {
    const chosen = chooseBudget(kvHeads.map(estimatedRow), wanted, jointHeads)
    return { tokens: chosen.map(withVisible), pooledTokens: 0 }
  }
  const pools =
    poolTokens === end - first
      ? kvHeads.map(() => range(first, end))
      : chooseBudget(kvHeads.map(estimatedRow), poolTokens, jointHeads)
  const chosen = chooseBudget(
    pools.map((tokens, kvHead) => exactRow(kvHead, tokens)),
    wanted,
    jointHeads,
  )
  return { tokens: chosen.map(withVisible), pooledTokens: pools.reduce((sum, pool) => sum + pool.length, 0) }
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i)
}
