import { type CachePolicy, type Effects, requireCapabilities } from '@kvasir/core'
import { offerRuns } from './kvasir/offer-runs.ts'
import { type KvasirOptions, resolveKvasir } from './kvasir/options.ts'
import { Ledger, type ReuseCounts } from './ledger.ts'
import { openSession, type ReusePolicy } from './session.ts'

export type SemShareKvOptions = KvasirOptions

export interface SemShareKv extends CachePolicy {
  /** What came of it so far, over all sequences. */
  readonly reuseCounts: () => ReuseCounts
}

/**
 * A prompt starts from the KV of similar ones that the engine has computed before in the same scope. Mode `kvasir` borrows
 * rows whose tokens are the same, turned to their new positions, and computes the rest. Throws OptionError for wrong options; its
 * `bind` a CapabilityError for an engine that cannot lend.
 */
export function semShareKv(options: SemShareKvOptions): SemShareKv {
  const resolved = resolveKvasir(options)
  const { donors: library, minPromptTokens, maxCandidates, workload } = resolved
  const ledger = new Ledger({ ...resolved, badAudits: resolved.breakerAudits, coolDownMs: resolved.breakerMs })
  const narrows = resolved.deviationShare > 0 || resolved.probeRows > 0
  const offer = offerRuns(resolved)
  const policy: ReusePolicy = { library, ledger, offer, minPromptTokens, maxCandidates, workload, narrows }
  return policyOf('semshare-kv:kvasir', policy)
}

function policyOf(name: string, policy: ReusePolicy): SemShareKv {
  const slots: Effects['slots'] = policy.narrows ? ['reuse', 'recompute', 'publish'] : ['reuse', 'publish']
  return Object.freeze<SemShareKv>({
    name,
    effects: Object.freeze<Effects>({ slots, fidelity: 'lossy' }),
    bind: (engine) => requireCapabilities(name, engine, ['kv.adopt', 'kv.export', 'prefill.partial-rows']),
    open: (sequence) => openSession(policy, sequence),
    reuseCounts: () => policy.ledger.counts(),
  })
}
