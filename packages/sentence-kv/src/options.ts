import { checkOneOf } from '@kvasir/core'
import { type KvasirOptions, type ResolvedKvasir, resolveKvasir } from './kvasir/options.ts'
import { type PaperOptions, type ResolvedPaper, resolvePaper } from './paper/options.ts'
import { type ReleasedOptions, type ResolvedReleased, resolveReleased } from './released/options.ts'

/** Options by mode: `kvasir` (the default, ours), `paper` (as described) or `released` (as the published code behaves). */
export type SentenceKvOptions = KvasirOptions | PaperOptions | ReleasedOptions

export type ResolvedSentenceKv = ResolvedKvasir | ResolvedPaper | ResolvedReleased

/** Throws OptionError for an unknown mode, for keys that the mode does not know, and for values out of range. */
export function resolveSentenceKv(options: SentenceKvOptions): ResolvedSentenceKv {
  checkOneOf('mode', options.mode ?? 'kvasir', ['kvasir', 'paper', 'released'])
  if (options.mode === 'paper') return resolvePaper(options)
  if (options.mode === 'released') return resolveReleased(options)
  return resolveKvasir(options)
}
