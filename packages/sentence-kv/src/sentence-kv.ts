import { type CachePolicy, type Effects, requireCapabilities } from '@kvasir/core'
import { kernelsOf } from '@kvasir/kernels'
import { uniformLayer } from '@kvasir/semantic'
import { windowTokens } from './kvasir/kept-rows.ts'
import type { ResolvedKvasir } from './kvasir/options.ts'
import { KvasirSession } from './kvasir/session.ts'
import { resolveSentenceKv, type SentenceKvOptions } from './options.ts'
import { paperRule } from './paper/paper-rule.ts'
import type { PoolRule } from './pool/rule.ts'
import { PoolSession } from './pool/session.ts'
import { releasedRule } from './released/released-rule.ts'

/**
 * SentenceKV (Zhu et al. 2025, arXiv 2504.00970): each step reads only what lies in the sentences that the query is close
 * to. Mode `kvasir` is our improvement, `paper` the published description, `released` the published code; the policy's
 * name says which. Throws OptionError for wrong options; its `bind` a CapabilityError for an engine that lacks what the
 * mode needs.
 */
export function sentenceKv(options: SentenceKvOptions): CachePolicy {
  const resolved = resolveSentenceKv(options)
  switch (resolved.mode) {
    case 'kvasir':
      return kvasirPolicy(resolved)
    case 'paper':
      return poolPolicy('sentence-kv:paper', paperRule(resolved))
    case 'released':
      return poolPolicy('sentence-kv:released', releasedRule(resolved))
  }
}

function kvasirPolicy(options: ResolvedKvasir): CachePolicy {
  const keepsAll = options.keptTokens === null
  const name = 'sentence-kv:kvasir'
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({
      slots: ['retain', 'append', 'select'],
      fidelity: 'lossy',
      selectScope: 'step',
      selectsNatively: true,
      ...(!keepsAll && { observes: { windowTokens } }),
    }),
    bind(engine) {
      requireCapabilities(name, engine, ['select.native:segment-codes'])
      if (!keepsAll) requireCapabilities(name, engine, ['observe.attention-mass', 'retain.per-head'])
      kernelsOf(engine)
      uniformLayer(engine)
    },
    open: ({ profile }) => KvasirSession.open(profile, options),
  })
}

function poolPolicy(name: string, rule: PoolRule): CachePolicy {
  const needed = ['select.runs', 'observe.query', 'observe.keys', 'observe.attention-mass', 'retain.per-head']
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({
      slots: ['retain', 'append', 'select'],
      fidelity: 'lossy',
      selectScope: 'layer',
      observes: { windowTokens: rule.windowTokens },
    }),
    bind: (engine) =>
      requireCapabilities(name, engine, rule.heads === 'query' ? [...needed, 'select.per-query-head'] : needed),
    open: ({ profile }) => new PoolSession(rule, profile.shape.layers),
  })
}
