import { privateScope, type ReuseAudit } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { KvCapacityError } from './page-pool.ts'
import { type PrefillRun, prefill } from './prefill.ts'
import { newState, releasePagesAfter, type SequenceState, shareRows } from './sequence-state.ts'

/** Tokens of the reply that an audit reads, beside the prompt. */
const replyTokens = 8

/**
 * Computes the prompt that waits for an audit in full, and the first tokens of the reply behind it and behind the borrowed
 * rows, all beside the sequence; tells the session what came out. Where there is no room for that it stays to be done.
 */
export async function auditReuse(
  parts: EngineParts,
  state: SequenceState,
  signal?: AbortSignal,
): Promise<ReuseAudit | null> {
  const { audit: asked, session } = state
  state.audit = null
  if (asked === null || session === null || state.tokens.length < asked.tokens.length) return null
  const promptTokens = asked.tokens.length
  const reply = state.tokens.slice(promptTokens, promptTokens + replyTokens)
  const full = stateBeside(state)
  const borrowed = stateBeside(state)
  const run = signal ? { signal } : {}
  try {
    const [first] = await prefill(parts, [{ state: full, tokens: asked.tokens }], run)
    const expected = [first as Float32Array, ...(await logitsAlong(parts, full, reply, run))]
    shareRows(state, borrowed, parts.pool)
    borrowed.tokens.length = promptTokens
    releasePagesAfter(borrowed, promptTokens, parts.pool)
    const audit = compareAll(expected, [asked.logits, ...(await logitsAlong(parts, borrowed, reply, run))])
    session.audit(audit)
    return audit
  } catch (error) {
    state.audit = asked
    if (error instanceof KvCapacityError) return null
    throw error
  } finally {
    for (const beside of [full, borrowed]) {
      releasePagesAfter(beside, 0, parts.pool)
      beside.kept?.native.dispose()
    }
  }
}

/** Shared with nobody, under no policy. */
function stateBeside({ id }: SequenceState): SequenceState {
  return newState({ id: `${id}-audit`, scope: privateScope(), session: null, policy: null, text: null, observed: null })
}

/** Logits after each of the tokens, which are appended. */
async function logitsAlong(
  parts: EngineParts,
  state: SequenceState,
  tokens: readonly number[],
  run: PrefillRun,
): Promise<Float32Array[]> {
  const all: Float32Array[] = []
  const onLogits = (_: number, logits: Float32Array) => void all.push(logits.slice())
  if (tokens.length > 0) await prefill(parts, [{ state, tokens, onLogits }], run)
  return all
}

function compareAll(full: readonly Float32Array[], borrowed: readonly Float32Array[]): ReuseAudit {
  const found = full.map((logits, at) => compare(logits, borrowed[at] as Float32Array))
  const klNats = found.reduce((sum, one) => sum + one.klNats, 0) / found.length
  return { klNats, sameTop: found.every(({ sameTop }) => sameTop) }
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
