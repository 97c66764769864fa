import { type CachePolicy, type Effects, requireCapabilities } from '@kvasir/core'
import { kernelsOf } from '@kvasir/kernels'
import { uniformLayer } from '@kvasir/semantic'
import { resolveSentenceKv, type SentenceKvOptions } from './options.ts'
import { SentenceKvSession } from './session.ts'

const effects = Object.freeze<Effects>({
  slots: ['retain', 'append', 'select'],
  fidelity: 'lossy',
  selectScope: 'step',
  selectsNatively: true,
})

/**
 * SentenceKV (Zhu et al. 2025, arXiv 2504.00970), improved: nothing is discarded; sentences are indexed by the mean and
 * spread of their keys, tokens by 2-bit codes of their residuals; each step reads the sinks, the recent tokens, the open
 * sentence, and the tokens that the current query weighs most. Throws OptionError for wrong options; its `bind` a
 * CapabilityError for an engine without the selectors of @kvasir/kernels or with layers of several shapes.
 */
export function sentenceKv(options: SentenceKvOptions): CachePolicy {
  const resolved = resolveSentenceKv(options)
  return Object.freeze<CachePolicy>({
    name: 'sentence-kv',
    effects,
    bind(engine) {
      requireCapabilities('sentence-kv', engine, ['select.native:segment-codes'])
      kernelsOf(engine)
      uniformLayer(engine)
    },
    open: ({ profile }) => SentenceKvSession.open(profile, resolved),
  })
}
