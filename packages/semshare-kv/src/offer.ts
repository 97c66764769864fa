import type { Decline, LayerReport, PromptView, RetainPlan, ReusePlan, RowSet, SequenceContext } from '@kvasir/core'
import type { DonorTokens } from './align/align-runs.ts'

/** What a mode would borrow for a prompt. */
export interface Offer {
  readonly plan: Omit<ReusePlan, 'audit'>
  /** Those that the plan borrows from. */
  readonly donors: readonly DonorTokens[]
  /** The rows of the next layer. @default those of the last one */
  readonly next?: (report: LayerReport) => RowSet | Decline
  /** What stays of the prompt once it stands. @default everything */
  readonly retain?: () => RetainPlan
}

/** Decides over donors that may be lent to the prompt, the most alike first; at least one. */
export type OfferReuse = (
  prompt: PromptView,
  donors: readonly DonorTokens[],
  sequence: SequenceContext,
) => Offer | Decline | Promise<Offer | Decline>

export function decline(reason: string): Decline {
  return { kind: 'decline', reason }
}
