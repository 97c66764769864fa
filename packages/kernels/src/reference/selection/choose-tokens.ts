import type { EstimateRule } from '../../kernel-selector.ts'
import { attentionValues, type Valued, valuesUnder } from './attention-values.ts'
import { chooseBudget, type ValueRow } from './choose-budget.ts'

export interface BudgetRule {
  readonly budgetTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
  readonly jointHeads: boolean
}

type ChoiceRule = BudgetRule & Pick<EstimateRule, 'poolFactor' | 'prefilterFactor' | 'certify'>

export interface ChoiceInput extends ChoiceRule {
  readonly numTokens: number
  readonly numKvHeads: number
  /** Query heads of a KV head. */
  readonly group: number
  /** First token after each closed segment. Null: there are none, all tokens are candidates, by exact scores. */
  readonly ends: readonly number[] | null
  /** No estimates can be made yet: the choice is by exact scores. */
  readonly pending: boolean
  /** May attention read this token? */
  keeps(kvHead: number, token: number): boolean
  /** q.k * scale of query head `head` (of all) for these tokens; `estimated`: for the query that estimates are made for. */
  exactScores(head: number, tokens: readonly number[], estimated: boolean): ArrayLike<number>
  /** Estimates of the same for tokens of closed segments. */
  estimatedScores(head: number, tokens: readonly number[]): ArrayLike<number>
  /** At most so much are exact scores above the estimates of these tokens. */
  scoreBounds(head: number, tokens: readonly number[]): ArrayLike<number>
  /** [segments] logarithm of the mean of exp(score) over the tokens of each segment. */
  densities(head: number): ArrayLike<number>
}

/** What was chosen beside the always-visible tokens [0, first) and [end, numTokens). */
export interface Choice {
  readonly first: number
  readonly end: number
  /** Ascending tokens of each KV head. */
  readonly tokens: readonly (readonly number[])[]
  /** Keys read exactly to choose among, summed over KV heads. */
  readonly pooledTokens: number
  /** KV heads whose choice is proven to be the exact one. */
  readonly certifiedHeads: number
}

interface Pool extends ValueRow {
  readonly logSums: readonly number[]
}

/**
 * The choice of one layer and step. Sinks, recent tokens and everything behind the closed segments are always visible
 * and count in the budget, as far as they are kept. Candidates are the other kept tokens: the best
 * poolFactor * budgetTokens a KV head by estimate, of them the best by exact score that the budget still allows.
 */
export function chooseTokens(input: ChoiceInput): Choice {
  const { numTokens, budgetTokens, jointHeads, certify } = input
  const indexed = input.ends === null ? numTokens : (input.ends.at(-1) ?? 0)
  const end = Math.max(0, Math.min(indexed, numTokens - input.recentTokens))
  const first = Math.min(input.sinkTokens, end)
  const kvHeads = range(0, input.numKvHeads)
  const keptOf = (kvHead: number, from: number, to: number) => range(from, to).filter((t) => input.keeps(kvHead, t))
  const visible = kvHeads.map((kvHead) => [...keptOf(kvHead, 0, first), ...keptOf(kvHead, end, numTokens)])
  const all = kvHeads.map((kvHead) => keptOf(kvHead, first, end))
  const open = kvHeads.map((kvHead) => Math.max(0, budgetTokens - visible[kvHead]!.length))
  const proven = certify === 'off' ? 0 : kvHeads.length
  if (all.every((tokens, kvHead) => tokens.length === 0 || open[kvHead] === 0)) {
    return { first, end, tokens: all.map(() => []), pooledTokens: 0, certifiedHeads: proven }
  }
  if (all.every((tokens, kvHead) => tokens.length <= open[kvHead]!)) {
    return { first, end, tokens: all, pooledTokens: 0, certifiedHeads: proven }
  }

  const candidates = all.map((tokens, kvHead) => prefiltered(input, kvHead, tokens))
  const wanted = candidates.map((tokens, kvHead) => Math.min(tokens.length, open[kvHead]!))
  const wish = Math.floor(input.poolFactor * budgetTokens)
  const pooled = candidates.map((tokens, kvHead) => Math.max(wanted[kvHead]!, Math.min(wish, tokens.length)))
  const choose = (rows: readonly ValueRow[], budget: readonly number[]) => chooseBudget(rows, budget, jointHeads)
  const sizeOf = (rows: readonly (readonly number[])[]) => rows.reduce((sum, row) => sum + row.length, 0)
  const exactRows = (rows: readonly (readonly number[])[]) =>
    rows.map((tokens, kvHead): Pool => ({ tokens, ...valued(input, kvHead, tokens, visible[kvHead]!, false) }))

  const poolIsAll = input.poolFactor > 0 && pooled.every((n, kvHead) => n === candidates[kvHead]!.length)
  if (input.ends === null || input.pending || poolIsAll) {
    const tokens = choose(exactRows(candidates), wanted)
    return { first, end, tokens, pooledTokens: sizeOf(candidates), certifiedHeads: proven }
  }
  const estimates = candidates.map((tokens, kvHead) => ({
    tokens,
    ...valued(input, kvHead, tokens, visible[kvHead]!, true),
  }))
  if (input.poolFactor === 0) {
    return { first, end, tokens: choose(estimates, wanted), pooledTokens: 0, certifiedHeads: 0 }
  }
  const pools = exactRows(choose(estimates, pooled))
  const tokens = choose(pools, wanted)
  if (certify === 'off') {
    return { first, end, tokens, pooledTokens: sizeOf(pools.map((pool) => pool.tokens)), certifiedHeads: 0 }
  }
  const limits = leastKept(pools, tokens, wanted, jointHeads)
  const doubtful = pools.map((pool, kvHead) => inDoubt(input, kvHead, pool, candidates[kvHead]!, limits[kvHead]!))
  if (certify === 'report') {
    const certifiedHeads = doubtful.filter(({ length }) => length === 0).length
    return { first, end, tokens, pooledTokens: sizeOf(pools.map((pool) => pool.tokens)), certifiedHeads }
  }
  const extended = pools.map((pool, kvHead) => extendedBy(input, kvHead, pool, doubtful[kvHead]!))
  return {
    first,
    end,
    tokens: choose(extended, wanted),
    pooledTokens: sizeOf(extended.map((pool) => pool.tokens)),
    certifiedHeads: kvHeads.length,
  }
}

function headsOf({ group }: ChoiceInput, kvHead: number): number[] {
  return range(kvHead * group, (kvHead + 1) * group)
}

/** Values of candidates, by estimate or exactly, beside the visible tokens. */
function valued(
  input: ChoiceInput,
  kvHead: number,
  tokens: readonly number[],
  visible: readonly number[],
  estimated: boolean,
): Valued {
  const heads = headsOf(input, kvHead)
  return attentionValues(
    heads.map((head) => (estimated ? input.estimatedScores(head, tokens) : input.exactScores(head, tokens, false))),
    heads.map((head) => input.exactScores(head, visible, estimated)),
  )
}

/** The candidates in the segments of the best tokens by density, until prefilterFactor * budgetTokens are in. */
function prefiltered(input: ChoiceInput, kvHead: number, candidates: readonly number[]): readonly number[] {
  const most = input.prefilterFactor * input.budgetTokens
  const { ends } = input
  if (ends === null || input.prefilterFactor === 0 || candidates.length <= most) return candidates
  const sizes = ends.map((end, s) => end - (ends[s - 1] ?? 0))
  const values = new Float64Array(ends.length)
  for (const head of headsOf(input, kvHead)) {
    const densities = Array.from(input.densities(head))
    const largest = densities.reduce((a, b) => Math.max(a, b), -Infinity)
    const total = densities.reduce((sum, x, s) => sum + sizes[s]! * Math.exp(x - largest), 0)
    densities.forEach((x, s) => {
      values[s]! += Math.exp(x - largest) / total
    })
  }
  const order = range(0, ends.length).sort((a, b) => values[b]! - values[a]! || a - b)
  const chosen: number[] = []
  for (const segment of order) {
    if (chosen.length >= most) break
    chosen.push(...candidates.filter((t) => t < ends[segment]! && t >= (ends[segment - 1] ?? 0)))
  }
  return chosen.sort((a, b) => a - b)
}

/** The value below which no further candidate of a row could be chosen: the lower of its share's and the layer's least. */
function leastKept(
  pools: readonly Pool[],
  chosen: readonly (readonly number[])[],
  wanted: readonly number[],
  joint: boolean,
): number[] {
  const keptValues = pools.map(({ tokens, values }, row) =>
    tokens.flatMap((token, i) => (chosen[row]!.includes(token) ? [values[i] as number] : [])).sort((a, b) => b - a),
  )
  if (!joint) return keptValues.map((values) => values.at(-1) ?? Infinity)
  const beyondShares = keptValues.flatMap((values, row) => values.slice(Math.floor(wanted[row]! / 4)))
  const layer = Math.min(...beyondShares)
  return keptValues.map((values, row) => Math.min(layer, values[Math.floor(wanted[row]! / 4) - 1] ?? Infinity))
}

/** Candidates outside the pool whose value may be `limit` or more, under the pool's denominators. */
function inDoubt(
  input: ChoiceInput,
  kvHead: number,
  pool: Pool,
  candidates: readonly number[],
  limit: number,
): readonly number[] {
  const pooled = new Set(pool.tokens)
  const others = candidates.filter((token) => !pooled.has(token))
  const bounds = headsOf(input, kvHead).map((head) => {
    const above = input.scoreBounds(head, others)
    return Array.from(input.estimatedScores(head, others), (score, i) => score + above[i]!)
  })
  const values = valuesUnder(bounds, pool.logSums)
  return others.filter((_, i) => !(values[i]! < limit))
}

function extendedBy(input: ChoiceInput, kvHead: number, pool: Pool, added: readonly number[]): ValueRow {
  const values = valuesUnder(
    headsOf(input, kvHead).map((head) => input.exactScores(head, added, false)),
    pool.logSums,
  )
  const all = [
    ...pool.tokens.map((token, i) => ({ token, value: pool.values[i] as number })),
    ...added.map((token, i) => ({ token, value: values[i]! })),
  ].sort((a, b) => a.token - b.token)
  return { tokens: all.map(({ token }) => token), values: all.map(({ value }) => value) }
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i)
}
