import { type CachePolicy, type Effects, type ObservedAttention, requireCapabilities } from '@kvasir/core'
import { AttendedSession, type AttentionRule } from './attended-session.ts'

/** The policy of a rule that evicts row by row; `observes` is what its `promptMass` asks of the view. */
export function attendedPolicy(name: string, rule: AttentionRule, observes: ObservedAttention): CachePolicy {
  const needed = ['select.runs', 'observe.attention-mass', 'observe.attention-weights'] as const
  const slots = ['retain', 'select'] as const
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({ slots, fidelity: 'lossy', selectScope: 'layer', observes }),
    bind: (engine) => requireCapabilities(name, engine, needed),
    open: (sequence) => AttendedSession.open(sequence, rule),
  })
}
