import { composeEffects } from './compose-effects.ts'
import { askChosen, askLadder, askRetention, type Part } from './compose-hooks.ts'
import type { CachePolicy, PolicyCounts, PolicySession, Slot } from './policy.ts'

/**
 * A stack of policies as one policy. Asked in order: the first accepted reuse plan wins; what any policy evicts is
 * evicted; one selector chooses and later ones that declare `refines` narrow its choice; one places, one publishes.
 * Throws a ComposeError for a stack that could not work, with what to change.
 */
export function compose(...policies: CachePolicy[]): CachePolicy {
  const effects = composeEffects(policies)
  return Object.freeze<CachePolicy>({
    name: policies.map(({ name }) => name).join(' + '),
    effects,
    bind: (engine) => {
      for (const policy of policies) policy.bind(engine)
    },
    open: (sequence) => {
      const parts = openParts(policies, (policy) => policy.open(sequence))
      return composeSessions(parts, effects.slots, effects.selectScope ?? 'step')
    },
  })
}

/** A session of each policy. Those that are open are disposed again when one fails. */
function openParts(policies: readonly CachePolicy[], open: (policy: CachePolicy, at: number) => PolicySession): Part[] {
  const parts: Part[] = []
  try {
    for (const [at, policy] of policies.entries()) parts.push({ policy, session: open(policy, at) })
  } catch (error) {
    disposeAll(parts).catch(() => {})
    throw error
  }
  return parts
}

/** One session over those of all parts. Hooks of slots that no part fills stay absent. */
function composeSessions(parts: readonly Part[], slots: readonly Slot[], scope: 'step' | 'layer'): PolicySession {
  const having = (slot: Slot) => parts.filter(({ policy }) => policy.effects.slots.includes(slot))
  const ladder = askLadder(having('reuse'))
  const hooks: Required<Pick<PolicySession, Slot>> = {
    reuse: ladder.reuse,
    recompute: ladder.recompute,
    retain: askRetention(having('retain')),
    select: askChosen(having('select'), scope),
    append: async (token) => {
      for (const { session } of having('append')) await session.append!(token)
    },
    place: (pressure) => having('place')[0].session.place!(pressure),
    publish: (done) => having('publish')[0].session.publish!(done),
  }
  const session: PolicySession = {
    ...Object.fromEntries(slots.map((slot) => [slot, hooks[slot]])),
    audit: ladder.audit,
    counts: () => sumCounts(parts.map(({ session }) => session.counts?.() ?? noCounts)),
    [Symbol.asyncDispose]: () => disposeAll(parts),
  }
  if (parts.every(({ session }) => session.fork)) {
    session.fork = (sequence) => {
      const policies = parts.map(({ policy }) => policy)
      const forks = openParts(policies, (_, at) => parts[at].session.fork!(sequence))
      return composeSessions(forks, slots, scope)
    }
  }
  if (parts.every(({ session }) => session.rewind)) {
    session.rewind = (numTokens) => {
      for (const { session } of parts) session.rewind!(numTokens)
    }
  }
  return session
}

const noCounts: PolicyCounts = { steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 }

function sumCounts(counts: readonly PolicyCounts[]): PolicyCounts {
  return counts.reduce((sum, part) => ({
    steps: Math.max(sum.steps, part.steps),
    attendedTokens: sum.attendedTokens + part.attendedTokens,
    pooledTokens: sum.pooledTokens + part.pooledTokens,
    indexBytes: sum.indexBytes + part.indexBytes,
    ...leastOf(sum, part, 'heldTokens'),
    ...leastOf(sum, part, 'denseSteps'),
  }))
}

/** What any part lets go is gone; a step is dense where every part that chose says so. */
function leastOf(a: PolicyCounts, b: PolicyCounts, count: 'heldTokens' | 'denseSteps'): Partial<PolicyCounts> {
  const known = [a[count], b[count]].filter((value) => value !== undefined)
  return known.length > 0 ? { [count]: Math.min(...known) } : {}
}

/** Disposes every part, also when one fails; then throws what failed first. */
async function disposeAll(parts: readonly Part[]): Promise<void> {
  const results = await Promise.allSettled(parts.map(async ({ session }) => session[Symbol.asyncDispose]()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
