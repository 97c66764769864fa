import {
  type BorrowedPiece,
  exact,
  type LayerReport,
  type PromptView,
  type Provenance,
  type RowSet,
  uncoveredRows,
  withLoss,
} from '@kvasir/core'
import { alignRuns, type DonorTokens } from '../align/align-runs.ts'
import { decline, type Offer, type OfferReuse } from '../offer.ts'
import { countConflicts } from './conflicts.ts'
import { costModel } from './costs.ts'
import { type Draft, draftPrefix, draftRuns, probedRows } from './draft.ts'
import { factMask } from './facts.ts'
import { fuzzyRows } from './fuzzy-rows.ts'
import { judgeLayer, objectionToPrefix, objectionToRuns, priced } from './guard.ts'
import type { ResolvedKvasir } from './options.ts'

/** The ladder: runs wherever they lie if the guard lets them, else the exact prefix, else nothing. */
export function offerRuns(options: ResolvedKvasir): OfferReuse {
  return (prompt, found, { profile }) => {
    const { tokens, standingTokens = 0 } = prompt
    const runs = alignWithFew(prompt, found, options)
    const facts = factMask(prompt.pieces)
    const model = costModel(profile.shape)
    const probeLayers = Math.min(options.probeLayers, model.numLayers - 1)
    const fuzzy = fuzzyOf(prompt, runs, found, facts, options)
    const request = { numTokens: tokens.length, standingTokens, runs, facts, fuzzy }
    const price = (draft: Draft) =>
      priced(draft, { model, standingTokens, donorTokens: countTokens(donorsOf(draft.pieces, found)), probeLayers })
    const [prefix, whole] = [price(draftPrefix(request)), price(draftRuns(request, options))]
    const objection = objectionToRuns(whole, prefix, countConflicts(runs, facts), options)
    if (objection === null) return offerOf(whole.draft, found, options, probeLayers)
    if (objectionToPrefix(prefix, options.minSaving) === null) return offerOf(prefix.draft, found, options, probeLayers)
    return decline(objection)
  }
}

/** Runs of the donors that lend most. */
function alignWithFew(
  { tokens, standingTokens = 0 }: PromptView,
  found: readonly DonorTokens[],
  { minRunTokens, minDonorTokens, maxDonors }: ResolvedKvasir,
): BorrowedPiece[] {
  let donors = found
  for (;;) {
    const runs = alignRuns(tokens, donors, { minRunTokens })
    const lent = new Map<string, number>()
    for (const { donor, start, end } of runs) {
      lent.set(donor, (lent.get(donor) ?? 0) + Math.max(0, end - Math.max(start, standingTokens)))
    }
    const enough = donors.filter(({ id }) => (lent.get(id) ?? 0) >= minDonorTokens)
    const best = enough.sort((a, b) => (lent.get(b.id) ?? 0) - (lent.get(a.id) ?? 0)).slice(0, maxDonors)
    if (best.length === donors.length || donors.length === 0) return runs
    donors = donors.filter((donor) => best.includes(donor))
  }
}

/** Rows of other tokens, up to their share of what no run covers. */
function fuzzyOf(
  { tokens, standingTokens = 0, embeddings }: PromptView,
  runs: readonly BorrowedPiece[],
  donors: readonly DonorTokens[],
  facts: Uint8Array,
  { fuzzyShare, fuzzyCosine }: ResolvedKvasir,
): BorrowedPiece[] {
  if (fuzzyShare === 0 || embeddings === undefined) return []
  const count = Math.floor(fuzzyShare * uncoveredRows(runs, tokens.length, standingTokens).rows.length)
  return fuzzyRows({ tokens, runs, donors, facts, embeddings }, fuzzyCosine, count)
}

function offerOf(draft: Draft, found: readonly DonorTokens[], options: ResolvedKvasir, probeLayers: number): Offer {
  const { pieces, numTokens, exactTokens, computed, probed, numFuzzy } = draft
  const donors = donorsOf(pieces, found)
  const borrowed = pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  const moved = pieces.filter(({ start }) => start >= exactTokens).length - numFuzzy
  const runs = moved === 0 ? 'its exact prefix' : `${moved} ${moved === 1 ? 'run' : 'runs'}`
  const from = donors.length === 1 ? 'one stored prompt' : `${donors.length} stored prompts`
  const recompute: RowSet = { rows: probed.length === 0 ? computed : probedRows(draft) }
  const plan = {
    kind: 'reuse' as const,
    pieces,
    recompute,
    watchLayers: probed.length === 0 ? 0 : probeLayers,
    provenance: provenanceOf(pieces, exactTokens),
    reason: `borrows ${borrowed} of ${numTokens} tokens: ${runs} of ${from}`,
  }
  if (probed.length === 0) return { plan, donors }
  const next = (report: LayerReport) =>
    report.layer === probeLayers - 1 ? judgeLayer(report, draft, options) : report.rows
  return { plan, donors, next }
}

function provenanceOf(pieces: readonly BorrowedPiece[], exactTokens: number): Provenance {
  const moved = pieces.filter(({ start }) => start >= exactTokens)
  if (moved.length === 0) return exact
  const borrowed = withLoss(exact, 'borrowed')
  return moved.some(({ start, donorStart }) => start !== donorStart) ? withLoss(borrowed, 'moved') : borrowed
}

function donorsOf(pieces: readonly BorrowedPiece[], found: readonly DonorTokens[]): readonly DonorTokens[] {
  const ids = new Set(pieces.map(({ donor }) => donor))
  return found.filter(({ id }) => ids.has(id))
}

function countTokens(donors: readonly DonorTokens[]): number {
  return donors.reduce((sum, { tokens }) => sum + tokens.length, 0)
}
