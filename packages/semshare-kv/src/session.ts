import {
  type Decline,
  droppedSpans,
  encodeScope,
  exact,
  isExact,
  isPrivateScope,
  type LayerReport,
  type PolicySession,
  type PrefillView,
  type PromptView,
  type PublishPlan,
  type RetainPlan,
  type ReuseAudit,
  type ReusePlan,
  type RowSet,
  type SequenceContext,
  type SequenceView,
} from '@kvasir/core'
import type { DonorTokens } from './align/align-runs.ts'
import type { Ledger } from './ledger.ts'
import type { DonorLibrary } from './library/donor-library.ts'
import { decline, type Offer, type OfferReuse } from './offer.ts'

/** What the sequences of one policy share. */
export interface ReusePolicy {
  readonly library: DonorLibrary
  readonly ledger: Ledger
  readonly offer: OfferReuse
  readonly minPromptTokens: number
  /** Donors that are offered, by likeness; 'all': every one of the scope. */
  readonly maxCandidates: number | 'all'
  readonly workload: string
  /** Sessions have the hook `recompute`. */
  readonly narrows: boolean
  /** Sessions have the hook `retain`. */
  readonly retains: boolean
}

/** What one sequence knows. */
interface State {
  /** Rows from 0 on of the prompt that it began with; they may be lent if nothing approximate is among them. */
  promptTokens: number
  isExact: boolean
  next: Offer['next']
  retain: Offer['retain']
  audited: readonly DonorTokens[]
  /** The audit is that of a breaker's trial. */
  isTrial: boolean
}

export function openSession(policy: ReusePolicy, sequence: SequenceContext): PolicySession {
  return sessionOf(policy, sequence, newState(0))
}

function newState(promptTokens: number): State {
  return { promptTokens, isExact: true, next: undefined, retain: undefined, audited: [], isTrial: false }
}

function sessionOf(policy: ReusePolicy, sequence: SequenceContext, state: State): PolicySession {
  return {
    reuse: (prompt) => reuse(policy, sequence, state, prompt),
    ...(policy.retains && { retain: async (view: PrefillView) => retain(state, view) }),
    ...(policy.narrows && { recompute: (report: LayerReport) => recompute(policy, state, report) }),
    publish: (done) => publish(sequence, state, done),
    audit: (audit) => takeAudit(policy, sequence, state, audit),
    fork: (fork) => sessionOf(policy, fork, { ...state, audited: [] }),
    rewind(numTokens) {
      state.promptTokens = Math.min(state.promptTokens, numTokens)
    },
    async [Symbol.asyncDispose]() {},
  }
}

async function reuse(
  policy: ReusePolicy,
  sequence: SequenceContext,
  state: State,
  prompt: PromptView,
): Promise<ReusePlan | Decline> {
  const { ledger } = policy
  Object.assign(state, newState(prompt.tokens.length))
  ledger.count('asked')
  const workload = workloadOf(policy, sequence)
  const offer = ledger.breakers.isOpen(workload) ? openBreaker : await offerOf(policy, sequence, prompt)
  prompt.signal?.throwIfAborted()
  // What is exact teaches an audit nothing, and would use up the trial of a breaker.
  const isPlanExact = 'plan' in offer && isExact(offer.plan.provenance)
  const passed = 'kind' in offer ? 'open' : isPlanExact ? 'closed' : ledger.breakers.pass(workload)
  if ('kind' in offer || passed === 'open') {
    ledger.count('declined')
    return 'kind' in offer ? offer : openBreaker
  }
  const { plan, donors, next, retain } = offer
  const isTrial = passed === 'trial'
  const audit = !isPlanExact && (isTrial || ledger.wantsAudit(donors))
  ledger.count('offered')
  if (isPlanExact) ledger.count('exact')
  Object.assign(state, { isExact: isPlanExact, next, retain, audited: audit ? donors : [], isTrial })
  return { ...plan, audit }
}

const openBreaker = decline('recent audits found that borrowed rows change the answer too much')

async function offerOf(policy: ReusePolicy, sequence: SequenceContext, prompt: PromptView): Promise<Offer | Decline> {
  const { library, ledger, offer, minPromptTokens, maxCandidates } = policy
  const { scope, profile } = sequence
  if (isPrivateScope(scope)) return decline('its scope is private: nothing is shared')
  const open = prompt.tokens.length - (prompt.standingTokens ?? 0)
  if (open < minPromptTokens) return decline(`${open} tokens are to be read, and ${minPromptTokens} are worth a search`)
  prompt.signal?.throwIfAborted()
  const limit = maxCandidates === 'all' ? library.size : maxCandidates
  const query = { tokens: prompt.tokens, scope, format: profile.format!, limit, all: maxCandidates === 'all' }
  const { donors, refused } = await library.find(query)
  prompt.signal?.throwIfAborted()
  const trusted = donors.filter((donor) => ledger.trusts(donor))
  if (trusted.length > 0) return await offer(prompt, trusted, sequence)
  if (donors.length > 0) return decline('the audit of the only similar prompt was bad')
  return decline(refused[0]?.reason ?? 'no stored prompt resembles it')
}

function recompute({ ledger }: ReusePolicy, state: State, report: LayerReport): RowSet | Decline {
  const next = state.next?.(report) ?? report.rows
  if ('kind' in next) {
    ledger.count('givenUp')
    Object.assign(state, { isExact: true, next: undefined, retain: undefined, audited: [] })
  }
  return next
}

/** Applies when the prompt that was borrowed for stands. */
function retain(state: State, { start, tokens, last }: PrefillView): RetainPlan {
  const plan = last && start + tokens.length === state.promptTokens ? state.retain?.() : undefined
  state.retain = undefined
  return plan ?? {}
}

/** The prompt's rows, as far as nothing of them was borrowed from elsewhere or dropped. */
function publish({ scope, profile }: SequenceContext, state: State, { tokens, kv }: SequenceView): PublishPlan {
  let end = state.isExact && !isPrivateScope(scope) ? Math.min(state.promptTokens, tokens.length) : 0
  profile.shape.layers.forEach(({ numKvHeads }, layer) => {
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      end = Math.min(end, droppedSpans(kv, layer, kvHead)[0]?.start ?? end)
    }
  })
  return { spans: end > 0 ? [{ start: 0, end }] : [], scope, provenance: exact }
}

function takeAudit(policy: ReusePolicy, sequence: SequenceContext, state: State, { klNats }: ReuseAudit): void {
  policy.ledger.takeAudit(workloadOf(policy, sequence), state.audited, klNats, state.isTrial)
  state.audited = []
}

/** Who shares a breaker: a scope and what its sequences are for. */
function workloadOf({ workload }: ReusePolicy, { scope }: SequenceContext): string {
  return `${String.fromCharCode(...encodeScope(scope))}${workload}`
}
