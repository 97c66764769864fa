import {
  type FileTier,
  type HostTier,
  type ResolvedTierOptions,
  resolveLowerTier,
  resolveTier,
  type TierOptions,
} from '@kvasir/kernels'

/** Every row in host memory, in the layout of a file. Throws OptionError. */
export function hostTier(options: Omit<HostTier, 'kind'> = {}): Required<HostTier> {
  return resolveLowerTier({ ...options, kind: 'host' }) as Required<HostTier>
}

/**
 * Every row in a file that is made with the arena and removed with it. Throws OptionError; whether the path will do is
 * found out when the arena is made.
 */
export function fileTier(options: Omit<FileTier, 'kind'>): Required<FileTier> {
  return resolveLowerTier({ ...options, kind: 'file' }) as Required<FileTier>
}

/** A complete `tier` for `createArena`: rows live in `lower`, and at most `hotBytes` of them in slots. Throws OptionError. */
export function tieredKv(options: TierOptions): ResolvedTierOptions {
  return resolveTier(options, 'f16')
}
