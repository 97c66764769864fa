import type { CachePolicy, Effects, PolicySession } from '@kvasir/core'

/** The full cache as a policy: it decides nothing, so every step reads every row. What all others are compared with. */
export function fullCache(): CachePolicy {
  return Object.freeze<CachePolicy>({
    name: 'full',
    effects: Object.freeze<Effects>({ slots: [], fidelity: 'exact' }),
    bind() {},
    open,
  })
}

function open(): PolicySession {
  return { fork: open, rewind() {}, async [Symbol.asyncDispose]() {} }
}
