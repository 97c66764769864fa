import { privateScope, type ReuseAudit } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { prefill } from './prefill.ts'
import { newState, releasePagesAfter, type SequenceState } from './sequence-state.ts'

/** Computes the prompt that waits for an audit in full, beside the sequence, and tells the session what came out. */
export async function auditReuse(
  parts: EngineParts,
  state: SequenceState,
  signal?: AbortSignal,
): Promise<ReuseAudit | null> {
  const { audit: asked, session } = state
  if (asked === null || session === null) return null
  const beside = newState({
    id: `${state.id}-audit`,
    scope: privateScope(),
    session: null,
    policy: null,
    text: null,
    observed: null,
  })
  try {
    const [full] = await prefill(parts, [{ state: beside, tokens: asked.tokens }], { ...(signal && { signal }) })
    const audit = compare(full as Float32Array, asked.logits)
    state.audit = null
    session.audit(audit)
    return audit
  } finally {
    releasePagesAfter({ ...beside, tokens: [] }, 0, parts.pool)
  }
}

function compare(full: Float32Array, borrowed: Float32Array): ReuseAudit {
  const [fullLog, borrowedLog] = [logSumExp(full), logSumExp(borrowed)]
  let klNats = 0
  full.forEach((logit, token) => {
    const log = logit - fullLog
    klNats += Math.exp(log) * (log - ((borrowed[token] as number) - borrowedLog))
  })
  return { klNats: Math.max(0, klNats), sameTop: indexOfMax(full) === indexOfMax(borrowed) }
}

function logSumExp(logits: Float32Array): number {
  const max = logits[indexOfMax(logits)] as number
  return max + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0))
}

function indexOfMax(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i
  return best
}
