import {
  type CachePolicy,
  CapabilityError,
  checkInteger,
  checkKeys,
  type EngineProfile,
  type PolicySession,
  type SequenceContext,
} from '@kvasir/core'
import { kernelsOf } from '@kvasir/kernels'

export interface OracleTokensOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** One budget a layer, shared by its KV heads; otherwise the same for each. @default false */
  readonly jointHeads?: boolean
}

/**
 * The tokens with the largest true attention, by the full cache's scores of the step: reads every key, so it saves
 * nothing; it bounds what a choice of this many tokens by attention weight can reach.
 */
export function oracleTokens(options: OracleTokensOptions): CachePolicy {
  checkKeys('OracleTokensOptions', options, ['budgetTokens', 'jointHeads'])
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 1)
  const { jointHeads = false } = options
  return Object.freeze({
    name: 'oracle',
    effects: { slots: ['select'], fidelity: 'lossy', selectScope: 'step', selectsNatively: true } as const,
    bind: requireExactSelector,
    open: ({ profile }: SequenceContext) => openSession(profile, budgetTokens, jointHeads),
  })
}

function openSession(profile: EngineProfile, budgetTokens: number, jointHeads: boolean): PolicySession {
  const selector = kernelsOf(profile).createExactSelector({ budgetTokens, jointHeads, sinkTokens: 0, recentTokens: 1 })
  return {
    select: () => ({ kind: 'native', selector }),
    counts: () => {
      const { calls, attendedTokens, pooledTokens } = selector.counts()
      return { steps: calls, attendedTokens, pooledTokens, indexBytes: 0 }
    },
    fork: () => openSession(profile, budgetTokens, jointHeads),
    rewind: () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

function requireExactSelector({ name, capabilities }: EngineProfile): void {
  if (capabilities.has('select.native:exact-scores')) return
  throw new CapabilityError({
    parameter: name,
    expected: 'the capability select.native:exact-scores',
    got: [...capabilities],
    remedy: 'Compare on an engine that runs the selectors of @kvasir/kernels, such as @kvasir/llama.',
  })
}
