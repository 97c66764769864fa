import { bestIndices, type Decline, type LayerReport, type RowSet } from '@kvasir/core'
import { decline } from '../offer.ts'
import { type CostModel, lendingCost, rowsCost, spanCost } from './costs.ts'
import { countMoved, type Draft } from './draft.ts'
import type { ResolvedKvasir } from './options.ts'

export interface Judged {
  readonly draft: Draft
  /** What the same prompt costs without a donor, and by the draft. */
  readonly fullCost: number
  readonly cost: number
}

/** donorTokens: of all donors of the draft together. */
export function priced(draft: Draft, { model, standingTokens, donorTokens, probeLayers }: PricedBy): Judged {
  const { numTokens, computed, probed, numChosen, pieces } = draft
  const deeper = model.numLayers - probeLayers
  const chosen = probed.length === 0 ? 0 : (rowsCost(model, probed, deeper) * numChosen) / probed.length
  const lending = pieces.length === 0 ? 0 : lendingCost(donorTokens)
  const cost = rowsCost(model, computed) + rowsCost(model, probed, probeLayers) + chosen + lending
  return { draft, cost, fullCost: spanCost(model, standingTokens, numTokens) }
}

interface PricedBy {
  readonly model: CostModel
  readonly standingTokens: number
  readonly donorTokens: number
  readonly probeLayers: number
}

/** Why nothing but the exact prefix is borrowed; null: the runs may be. */
export function objectionToRuns(
  runs: Judged,
  prefix: Judged,
  conflicts: number,
  { minCoverage, minSaving, maxConflicts }: ResolvedKvasir,
): string | null {
  const { draft, fullCost } = runs
  const moved = countMoved(draft)
  const open = draft.numTokens - draft.exactTokens
  if (moved === 0) return 'no stored prompt has long enough runs in common with it'
  if (moved < minCoverage * open) {
    return `stored prompts lend ${percent(moved / open)} of it, and ${percent(minCoverage)} are wanted`
  }
  if (maxConflicts !== 'any' && conflicts > maxConflicts) {
    return `its facts differ from the donor's at ${conflicts} places, and ${maxConflicts} are allowed`
  }
  const saved = (Math.min(prefix.cost, fullCost) - runs.cost) / fullCost
  if (saved < minSaving)
    return `borrowing would save ${percent(saved)} of the prefill, and ${percent(minSaving)} are wanted`
  return null
}

/** Why the exact prefix is not worth borrowing; null: it is. */
export function objectionToPrefix({ draft, cost, fullCost }: Judged, minSaving: number): string | null {
  if (draft.pieces.length === 0) return 'no stored prompt begins like it'
  const saved = 1 - cost / fullCost
  return saved < minSaving ? `its exact prefix would save ${percent(saved)} of the prefill` : null
}

/**
 * After the probe layers: the rows of the layers behind them, or why nothing is borrowed after all. Probed rows that go on
 * are those that deviate most, twice as many where they deviate a lot on average.
 */
export function judgeLayer(
  { layer, rows, deviations }: LayerReport,
  { computed, probed, numChosen }: Draft,
  { raiseDeviation, maxDeviation }: Pick<ResolvedKvasir, 'raiseDeviation' | 'maxDeviation'>,
): RowSet | Decline {
  const of = deviationsOf(rows.rows, deviations, probed)
  const mean = of.reduce((sum, deviation) => sum + deviation, 0) / of.length
  if (!(mean <= maxDeviation)) {
    const after = `after ${layer + 1} layers`
    return decline(`borrowed rows deviate by ${mean.toFixed(2)} on average ${after}, and ${maxDeviation} is allowed`)
  }
  const count = Math.min(probed.length, mean > raiseDeviation ? 2 * numChosen : numChosen)
  const chosen = bestIndices(probed, of, count)
  return { rows: Int32Array.from([...computed, ...chosen]).sort() }
}

/** The deviation of each row of `some`, which are among `rows`; both ascend. */
function deviationsOf(rows: Int32Array, deviations: Float32Array, some: Int32Array): Float64Array {
  let at = 0
  return Float64Array.from(some, (row) => {
    while (rows[at] < row) at++
    return deviations[at]
  })
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
