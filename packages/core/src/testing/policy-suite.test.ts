import { expect, test } from 'vitest'
import { fixedSelection } from '../fixed-selection.ts'
import type { CachePolicy, PolicySession } from '../policy.ts'
import { runsOfSpans } from '../run-list.ts'
import type { StepView } from '../views.ts'
import { policySuite } from './policy-suite.ts'
import { probePolicy } from './probe-policy.ts'
import { toyTokens } from './toy-engine.ts'

const budgetTokens = 24
const prompt = toyTokens('A prompt of some sixty bytes, so that the suite is quick here.')

/** Runs the suite on a policy, not composed, and gives the names of the tests that fail; `only`: just the one of that name. */
async function failures(makePolicy: () => CachePolicy, only?: string): Promise<string[]> {
  const tests: [string, () => Promise<void>][] = []
  let part = ''
  policySuite(makePolicy, {
    describe(name, body) {
      part = name
      body()
    },
    test(name, body) {
      if (part === 'alone' && name === (only ?? name)) tests.push([name, body])
    },
    budgetTokens,
    prompt,
  })
  expect(tests.length, only).toBeGreaterThan(0)
  const failed: string[] = []
  for (const [name, body] of tests) await body().catch(() => failed.push(name))
  return failed
}

const rows = (start: number, end: number) => ({ kind: 'runs' as const, runs: runsOfSpans([{ start, end }], 2) })

/** Reads the last `length` rows. */
function lastRows(length: (session: { steps: number }) => number, more: Partial<PolicySession> = {}): CachePolicy {
  const policy = probePolicy({ slots: ['select'], selectScope: 'step' }, () => {
    const session = { steps: 0 }
    return {
      select({ numTokens }: StepView) {
        session.steps++
        return rows(Math.max(0, numTokens - length(session)), numTokens)
      },
      ...more,
    }
  })
  return {
    ...policy,
    bind(engine) {
      fixedSelection('x', () => []).bind(engine)
    },
  }
}

test('a sound policy fails nothing', async () => {
  expect(await failures(() => lastRows(() => 24))).toEqual([])
})

test('a policy that is not sound fails where it is not', async () => {
  let calls = 0
  const shared = { steps: 0 }
  const cases: [CachePolicy | (() => CachePolicy), string][] = [
    [lastRows(() => 25), 'keeps its budget'],
    [
      probePolicy({ slots: ['select'], selectScope: 'step' }, () => ({ select: () => ({ kind: 'all' }) })),
      'keeps its budget',
    ],
    [lastRows(() => 10 + (calls++ % 7)), 'answers the same to the same input'],
    [() => lastRows(() => 10 + (calls++ % 7)), 'answers the same to the same input'],
    [lastRows(() => 5 + shared.steps++), 'keeps sequences apart'],
    [lastRows(({ steps }) => 20 - steps), 'goes on alike after a rewind'],
    [lastRows(({ steps }) => 20 - steps), 'goes on alike after a fork'],
    [lastRows(() => -1), 'answers validly at every step'],
    [lastRows(() => 24, { fork: undefined } as never), 'goes on alike after a fork'],
    [lastRows(() => 24, { retain: async () => ({}) }), 'has a name, and the hooks of its slots and no others'],
    [{ ...lastRows(() => 24), name: '' }, 'has a name, and the hooks of its slots and no others'],
    [{ ...lastRows(() => 24), bind() {} }, 'refuses an engine that lacks what its plans need'],
    [
      { ...lastRows(() => 24), effects: { ...lastRows(() => 1).effects, fidelity: 'exact' } },
      'is exact where it says so',
    ],
    [evicting(async ({ start }) => start === 0), 'does not mind how the prompt is cut into chunks'],
    [evicting(async () => true), 'answers validly on one-token prompts and on second turns'],
  ]
  for (const [policy, name] of cases) {
    const failed = await failures(typeof policy === 'function' ? policy : () => policy, name)
    expect(failed, name).toEqual([name])
  }
})

/** Evicts rows 2 to 9 where asked to. */
function evicting(when: (view: { start: number; last: boolean }) => Promise<boolean>): CachePolicy {
  return probePolicy({ slots: ['retain'] }, () => ({
    retain: async (view) => ((await when(view)) ? { evict: [{ start: 2, end: 10 }] } : {}),
  }))
}
