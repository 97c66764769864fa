import {
  type CachePolicy,
  checkFlag,
  checkInteger,
  checkKeys,
  type Effects,
  type EngineProfile,
  type PolicySession,
  requireCapabilities,
  type SequenceContext,
} from '@kvasir/core'
import { kernelsOf } from '@kvasir/kernels'

export interface OracleTokensOptions {
  /** Tokens a KV head that attention reads at a step; with jointHeads the mean over a layer's KV heads. Required. */
  readonly budgetTokens: number
  /** One budget a layer, shared by its KV heads; otherwise the same for each. @default false */
  readonly jointHeads?: boolean
}

interface Resolved {
  readonly budgetTokens: number
  readonly jointHeads: boolean
}

/**
 * The tokens with the largest true attention, by the full cache's scores of the step: reads every key, so it saves
 * nothing; it bounds what a choice of this many tokens by attention weight can reach.
 */
export function oracleTokens(options: OracleTokensOptions): CachePolicy {
  const resolved = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'oracle',
    effects: Object.freeze<Effects>({
      slots: ['select'],
      fidelity: 'lossy',
      selectScope: 'step',
      selectsNatively: true,
    }),
    bind(engine) {
      requireCapabilities('oracle', engine, ['select.native:exact-scores'])
      kernelsOf(engine)
    },
    open: ({ profile }: SequenceContext) => openSession(profile, resolved),
  })
}

function resolveOptions(options: OracleTokensOptions): Resolved {
  checkKeys('OracleTokensOptions', options, ['budgetTokens', 'jointHeads'])
  const budgetTokens = checkInteger('budgetTokens', options.budgetTokens, 1, 2 ** 30)
  return { budgetTokens, jointHeads: checkFlag('jointHeads', options.jointHeads ?? false) }
}

function openSession(profile: EngineProfile, options: Resolved): PolicySession {
  const selector = kernelsOf(profile).createExactSelector({ ...options, sinkTokens: 0, recentTokens: 1 })
  const { length: numLayers } = profile.shape.layers
  return {
    select: () => ({ kind: 'native', selector }),
    counts: () => {
      const { calls, attendedTokens, pooledTokens } = selector.counts()
      return { steps: calls / numLayers, attendedTokens, pooledTokens, indexBytes: 0 }
    },
    fork: (fork) => openSession(fork.profile, options),
    rewind() {},
    async [Symbol.asyncDispose]() {},
  }
}
