import type { CachePolicy, Effects, PolicySession } from '../policy.ts'

/** A policy of the given hooks alone, for tests. Each session gets its own `hooks()`. */
export function probePolicy(
  effects: Omit<Effects, 'fidelity'>,
  hooks: () => Omit<PolicySession, typeof Symbol.asyncDispose> & Partial<AsyncDisposable>,
): CachePolicy {
  const open = (): PolicySession => ({
    async [Symbol.asyncDispose]() {},
    fork: open,
    rewind() {},
    ...hooks(),
  })
  return { name: 'probe', effects: { ...effects, fidelity: 'lossy' }, bind() {}, open }
}

/** A policy that chooses and does nothing else. */
export function selecting(selectScope: 'step' | 'layer', select: NonNullable<PolicySession['select']>): CachePolicy {
  return probePolicy({ slots: ['select'], selectScope }, () => ({ select }))
}

export interface PolicyWatcher {
  /** Before a hook runs; what it throws is what the hook throws. */
  before?(hook: string, args: readonly unknown[]): void
  /** With what the hook returned (a promise, of those that return one). */
  after?(hook: string, args: readonly unknown[], answer: unknown): void
}

/** The same policy, with a watcher beside every hook of every session, forks included. */
export function watchPolicy(policy: CachePolicy, watcher: PolicyWatcher): CachePolicy {
  const watch = (session: PolicySession): PolicySession =>
    new Proxy(session, {
      get(target, key) {
        const hook: unknown = Reflect.get(target, key)
        if (typeof hook !== 'function') return hook
        return (...args: unknown[]) => {
          watcher.before?.(String(key), args)
          const answer: unknown = hook.apply(target, args)
          watcher.after?.(String(key), args, answer)
          return key === 'fork' ? watch(answer as PolicySession) : answer
        }
      },
    })
  return {
    name: policy.name,
    effects: policy.effects,
    bind: (engine) => policy.bind(engine),
    open: (sequence) => watch(policy.open(sequence)),
  }
}
