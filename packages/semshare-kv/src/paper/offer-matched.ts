import { type BorrowedPiece, exact, type LayerReport, type PromptView, withLoss } from '@kvasir/core'
import { kernelsOf } from '@kvasir/kernels'
import type { DonorTokens } from '../align/align-runs.ts'
import { decline, type OfferReuse } from '../offer.ts'
import { chooseRows, countNext, hotRows } from './choose-rows.ts'
import { type NearestRows, nearestByCodes, nearestRows, turnByIndex } from './match-rows.ts'
import type { ResolvedPaper } from './options.ts'
import { keepByAttention, retainedShare } from './retention.ts'
import { type Embeddings, meanNearestDistance, similarityOf, TokenCodes } from './similarity.ts'

/**
 * One donor, the most similar by the codes of its tokens; each token of the prompt takes the row of the nearest token of the
 * donor; the first layer is computed in full, and ever fewer rows of the others.
 */
export function offerMatched(options: ResolvedPaper): OfferReuse {
  const codes = new TokenCodes(options.codeBits, options.seed)
  return async (prompt, donors, { profile, scope }) => {
    const embeddings = prompt.embeddings!
    const { similarity, donor } = mostSimilar(prompt.tokens, donors, codes, embeddings, options)
    if (similarity <= options.minSimilarity) {
      return decline(
        `the most similar stored prompt has similarity ${similarity.toFixed(2)}, of ${options.minSimilarity} wanted`,
      )
    }
    const { tokens, standingTokens = 0 } = prompt
    const nearest =
      profile.kernels === undefined ? nearestRows : nearestByCodes(kernelsOf(profile), scope, options.seed)
    const numRows = tokens.length - standingTokens
    const pieces = piecesOf(await matchTokens(prompt, donor, options, nearest), standingTokens, donor.id)
    const attention: Float32Array[] = []
    const next = (report: LayerReport) => {
      if (report.attention) attention.push(report.attention.slice())
      return chooseRows(report, countNext(report.layer, numRows, options), options)
    }
    const retain = () => {
      if (attention.length === 0) return {}
      const hotShare = hotRows(attention[0], options.hotAttention).size / tokens.length
      const shareOf = (layer: number) => retainedShare(layer, hotShare, options.retainShare, options.retainDecay)
      return { keep: keepByAttention(attention, shareOf, profile.shape) }
    }
    return {
      plan: {
        kind: 'reuse',
        pieces,
        keys: options.keys,
        recompute: { rows: Int32Array.from({ length: numRows }, (_, row) => standingTokens + row) },
        provenance: withLoss(withLoss(exact, 'borrowed'), 'moved'),
        reason: `borrows rows of a stored prompt with similarity ${similarity.toFixed(2)}`,
      },
      donors: [donor],
      next,
      ...(options.retention && { retain }),
    }
  }
}

function mostSimilar(
  tokens: Int32Array,
  donors: readonly DonorTokens[],
  codes: TokenCodes,
  embeddings: Embeddings,
  { minDistance, maxDistance }: ResolvedPaper,
): { readonly similarity: number; readonly donor: DonorTokens } {
  let best = { similarity: Number.NEGATIVE_INFINITY, donor: donors[0] }
  for (const donor of donors) {
    const distance = meanNearestDistance(tokens, donor.tokens, codes, embeddings)
    const similarity = similarityOf(distance, minDistance, maxDistance)
    if (similarity > best.similarity) best = { similarity, donor }
  }
  return best
}

/** [tokens.length]: the donor's row for each token of the prompt. */
async function matchTokens(
  { tokens, embeddings, signal }: PromptView,
  donor: DonorTokens,
  { turnEmbeddings, embeddingTheta }: ResolvedPaper,
  nearest: NearestRows,
): Promise<Int32Array> {
  const [own, lent] = [embeddings!(tokens), embeddings!(donor.tokens)]
  const dim = own.length / tokens.length
  if (turnEmbeddings) for (const rows of [own, lent]) turnByIndex(rows, dim, embeddingTheta)
  return await nearest(own, lent, dim, signal)
}

/** Neighbours that are matched with neighbours make one piece. */
function piecesOf(matches: Int32Array, from: number, donor: string): BorrowedPiece[] {
  const pieces: BorrowedPiece[] = []
  for (let start = from; start < matches.length; ) {
    let end = start + 1
    while (end < matches.length && matches[end] === matches[end - 1] + 1) end++
    pieces.push({ start, end, donor, donorStart: matches[start] })
    start = end
  }
  return pieces
}
