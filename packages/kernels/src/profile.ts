import { CapabilityError, type EngineProfile, type KvReader } from '@kvasir/core'
import type { Kernels } from './kernels.ts'
import type { SequenceKv } from './selection.ts'

/** The kernels that an engine runs on. Throws a CapabilityError if it has none to share. */
export function kernelsOf(profile: EngineProfile): Kernels {
  const { kernels } = profile
  if (kernels !== undefined && 'createProgram' in kernels && 'createSegmentIndex' in kernels) return kernels as Kernels
  throw new CapabilityError({
    parameter: 'profile.kernels',
    expected: `kernels shared by the engine ${profile.name}`,
    got: kernels,
    remedy: 'Use an engine that runs on @kvasir/kernels and puts them in its profile, such as @kvasir/llama.',
  })
}

/** The KV of a sequence as the engine's kernels see it. Throws a CapabilityError if the engine keeps it elsewhere. */
export function nativeKvOf(reader: KvReader): SequenceKv {
  const { native } = reader
  if (native !== undefined && 'arena' in native && 'pages' in native) return native as SequenceKv
  throw new CapabilityError({
    parameter: 'kv.native',
    expected: 'KV held in an arena of @kvasir/kernels',
    got: native,
    remedy: 'Use an engine that keeps its KV there, such as @kvasir/llama.',
  })
}
