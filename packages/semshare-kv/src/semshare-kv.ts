import { type CachePolicy, checkOneOf, type Effects, requireCapabilities } from '@kvasir/core'
import { offerRuns } from './kvasir/offer-runs.ts'
import { type KvasirOptions, type ResolvedKvasir, resolveKvasir } from './kvasir/options.ts'
import { Ledger, type ReuseCounts } from './ledger.ts'
import { offerMatched } from './paper/offer-matched.ts'
import { type PaperOptions, type ResolvedPaper, resolvePaper } from './paper/options.ts'
import { openSession, type ReusePolicy } from './session.ts'

/** Options by mode: `kvasir` (the default, ours) or `paper` (as described). */
export type SemShareKvOptions = KvasirOptions | PaperOptions

export interface SemShareKv extends CachePolicy {
  /** What came of it so far, over all sequences. */
  readonly reuseCounts: () => ReuseCounts
}

/**
 * A prompt starts from the KV of similar ones that the engine has computed before in the same scope. Mode `kvasir` borrows
 * rows whose tokens are the same, turned to their new positions, and computes the rest; mode `paper` is SemShareKV as it is
 * described (Zhao and Mastorakis 2025, arXiv 2509.24832); the policy's name says which. Throws OptionError for wrong options;
 * its `bind` a CapabilityError for an engine that cannot lend.
 */
export function semShareKv(options: SemShareKvOptions): SemShareKv {
  checkOneOf('mode', options.mode ?? 'kvasir', ['kvasir', 'paper'])
  return options.mode === 'paper' ? paperPolicy(resolvePaper(options)) : kvasirPolicy(resolveKvasir(options))
}

const lending = ['kv.adopt', 'kv.export', 'prefill.partial-rows']

function kvasirPolicy(options: ResolvedKvasir): SemShareKv {
  const { donors: library, minPromptTokens, maxCandidates, workload } = options
  const ledger = new Ledger({ ...options, badAudits: options.breakerAudits, coolDownMs: options.breakerMs })
  const narrows = options.deviationShare > 0 || options.probeRows > 0
  const shared = { library, ledger, minPromptTokens, maxCandidates, workload, narrows, retains: false }
  const slots: Effects['slots'] = narrows ? ['reuse', 'recompute', 'publish'] : ['reuse', 'publish']
  const needed = options.fuzzyShare > 0 ? [...lending, 'observe.embeddings'] : lending
  return policyOf('semshare-kv:kvasir', { slots, fidelity: 'lossy' }, needed, { ...shared, offer: offerRuns(options) })
}

/** The paper has no guard but its threshold: nothing is audited. */
function paperPolicy(options: ResolvedPaper): SemShareKv {
  const { donors: library, minPromptTokens, retention, seed } = options
  const unaudited = { auditFirstUse: false, auditShare: 0, auditKlNats: Number.POSITIVE_INFINITY }
  const ledger = new Ledger({ ...unaudited, seed, badAudits: 1, coolDownMs: 0, now: () => 0 })
  const shared = { library, ledger, minPromptTokens, workload: '', maxCandidates: 'all' as const, narrows: true }
  const effects: Effects = {
    slots: ['reuse', 'recompute', 'publish', ...(retention ? (['retain'] as const) : [])],
    fidelity: 'lossy',
    observes: { recomputed: true },
  }
  const needed = [...lending, 'observe.embeddings', 'observe.attention-mass', ...(retention ? ['retain.per-head'] : [])]
  return policyOf('semshare-kv:paper', effects, needed, { ...shared, retains: retention, offer: offerMatched(options) })
}

function policyOf(name: string, effects: Effects, needed: readonly string[], policy: ReusePolicy): SemShareKv {
  return Object.freeze<SemShareKv>({
    name,
    effects: Object.freeze(effects),
    bind: (engine) => requireCapabilities(name, engine, needed),
    open: (sequence) => openSession(policy, sequence),
    reuseCounts: () => policy.ledger.counts(),
  })
}
