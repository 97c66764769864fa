import type { CachePolicy, PolicySession } from '@kvasir/core'

/** The model has no text of its own: here every eighth id is a full stop. */
export function speaking(policy: CachePolicy): CachePolicy {
  const pieceOf = (token: number) => (token % 8 === 0 ? '.' : ' Word')
  const speak = (session: PolicySession): PolicySession =>
    new Proxy(session, {
      get(target, key) {
        if (key === 'retain')
          return (view: Parameters<NonNullable<PolicySession['retain']>>[0]) =>
            target.retain!({ ...view, pieces: Array.from(view.tokens, pieceOf) })
        if (key === 'append')
          return (view: Parameters<NonNullable<PolicySession['append']>>[0]) =>
            target.append!({ ...view, piece: pieceOf(view.token) })
        if (key === 'fork')
          return (context: Parameters<NonNullable<PolicySession['fork']>>[0]) => speak(target.fork!(context))
        const value: unknown = Reflect.get(target, key)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  return { ...policy, open: (context) => speak(policy.open(context)) }
}
