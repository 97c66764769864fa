import type { CachePolicy, Effects, EngineProfile, SequenceContext } from '@kvasir/core'
import { CapabilityError } from '@kvasir/core'
import { uniformLayer } from '@kvasir/semantic'
import { resolveSentenceKv, type SentenceKvOptions } from './options.ts'
import { SentenceKvSession } from './session.ts'

const effects: Effects = {
  slots: ['retain', 'append', 'select'],
  fidelity: 'lossy',
  selectScope: 'step',
  selectsNatively: true,
}

/**
 * SentenceKV (Zhu et al. 2025, arXiv 2504.00970), improved: nothing is discarded; sentences are indexed by the mean and
 * spread of their keys, tokens by 2-bit codes of their residuals; each step reads the sinks, the recent tokens, the open
 * sentence, and the tokens that the current query weighs most.
 */
export function sentenceKv(options: SentenceKvOptions): CachePolicy {
  const resolved = resolveSentenceKv(options)
  return Object.freeze({
    name: 'sentence-kv',
    effects,
    bind: requireNativeSelector,
    open: ({ profile }: SequenceContext) => SentenceKvSession.open(profile, resolved),
  })
}

function requireNativeSelector(profile: EngineProfile): void {
  if (!profile.capabilities.has('select.native:segment-codes')) {
    throw new CapabilityError({
      parameter: profile.name,
      expected: 'the capability select.native:segment-codes',
      got: [...profile.capabilities],
      remedy: 'Run the selector of @kvasir/kernels before attention, or hand the engine the runs that it chooses.',
    })
  }
  uniformLayer(profile)
}
