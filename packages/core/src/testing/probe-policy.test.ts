import { expect, test } from 'vitest'
import { probePolicy, watchPolicy } from './probe-policy.ts'

const context = {} as never

test('a watched policy answers the same, and its watcher sees every hook, forks included', () => {
  const seen: string[] = []
  const policy = probePolicy({ slots: ['select'], selectScope: 'step' }, () => ({ select: () => ({ kind: 'all' }) }))
  const watched = watchPolicy(policy, {
    before: (hook) => void seen.push(`before ${hook}`),
    after: (hook, _, answer) => void seen.push(`after ${hook}: ${JSON.stringify(answer)}`),
  })
  const session = watched.open(context)
  expect(session.retain).toBeUndefined()
  expect(session.select!({} as never)).toEqual({ kind: 'all' })
  session.fork!(context).rewind!(3)
  expect(seen.filter((line) => /select|rewind/.test(line))).toEqual([
    'before select',
    'after select: {"kind":"all"}',
    'before rewind',
    'after rewind: undefined',
  ])
})

test('each session of a probe has its own hooks', () => {
  let made = 0
  const policy = probePolicy({ slots: [] }, () => {
    made++
    return {}
  })
  policy.open(context).fork!(context)
  expect(made).toBe(2)
})
