import type { CachePolicy } from '@kvasir/core'

/** The full cache as a policy: every row at every step. What all others are compared with. */
export function fullCache(): CachePolicy {
  return Object.freeze({
    name: 'full',
    effects: { slots: ['select'], fidelity: 'exact', selectScope: 'step' } as const,
    bind: () => {},
    open: () => ({
      select: () => ({ kind: 'all' as const }),
      fork() {
        return this
      },
      rewind: () => {},
      [Symbol.asyncDispose]: async () => {},
    }),
  })
}
