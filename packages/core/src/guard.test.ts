import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { CapabilityError, OptionError, ProvenanceError, ScopeError } from './errors.ts'
import { type GuardOptions, openGuarded, type QuarantineEvent } from './guard.ts'
import type { CachePolicy, PolicySession, Slot } from './policy.ts'
import { indicesOfRow, runsOfSpans } from './run-list.ts'
import { privateScope } from './scope.ts'
import { probePolicy } from './testing/probe-policy.ts'
import { toyEngine } from './testing/toy-engine.ts'
import type { PrefillView, StepView, TokenView } from './views.ts'

const { profile } = toyEngine()
const context = { id: 's1', profile, scope: privateScope('s1') }
const kv = { numTokens: 20 } as PrefillView['kv']
const view = { kv } as PrefillView
const step = { layer: null, numTokens: 20, queries: null, kv } as StepView
const token = { token: 1, piece: '', index: 20, kv } as TokenView
const prompt = { tokens: new Int32Array(8), pieces: [] }
const report = {
  layer: 0,
  rows: { rows: Int32Array.of(2, 3, 7) },
  distances: new Float32Array(3),
  deviations: new Float32Array(3),
}
const done = { tokens: new Int32Array(20), kv }

type Hooks = ReturnType<Parameters<typeof probePolicy>[1]>

function guarded(hooks: Hooks, options: Partial<GuardOptions> = {}, slots?: Slot[]) {
  const events: QuarantineEvent[] = []
  const declared = slots ?? (Object.keys(hooks).filter((key) => !['fork', 'rewind', 'counts'].includes(key)) as Slot[])
  const policy = probePolicy({ slots: declared, selectScope: 'step' }, () => hooks)
  const session = openGuarded(policy, context, { onQuarantine: (event) => events.push(event), ...options })
  return { session, events, policy }
}

function fail(): never {
  throw new Error('planted')
}

/** What the full cache would answer. */
async function expectFullCache(session: ReturnType<typeof openGuarded>): Promise<void> {
  expect(session.select(step)).toEqual({ kind: 'all' })
  expect(await session.retain(view)).toEqual({})
  expect(await session.reuse(prompt)).toMatchObject({ kind: 'decline' })
  expect(session.recompute(report)).toBe(report.rows)
  expect(session.place({ tier: 'device', heldBytes: 2, budgetBytes: 1 }).moves).toEqual([])
  expect(session.publish(done).spans).toEqual([])
  expect(await session.append(token)).toBeUndefined()
}

describe('a guarded session', () => {
  test('answers as the full cache where the policy has no hook', async () => {
    const { session, events } = guarded({})
    await expectFullCache(session)
    expect(session.counts()).toEqual({ steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 })
    expect([session.quarantined, events]).toEqual([false, []])
  })

  test('does not call hooks that the effects do not name', () => {
    const select = vi.fn()
    expect(guarded({ select }, {}, []).session.select(step)).toEqual({ kind: 'all' })
    expect(select).not.toHaveBeenCalled()
  })

  test('passes valid plans on', async () => {
    const selection = { kind: 'runs' as const, runs: runsOfSpans([{ start: 4, end: 20 }], 2) }
    const { session, events } = guarded(
      {
        select: () => selection,
        retain: async () => ({ evict: [{ start: 0, end: 4 }] }),
        place: () => ({ moves: [{ start: 0, end: 20, tier: 'host' }], reason: '' }),
        counts: () => ({ steps: 1, attendedTokens: 2, pooledTokens: 3, indexBytes: 4 }),
      },
      { tiers: ['host'] },
    )
    expect(await session.retain(view)).toEqual({ evict: [{ start: 0, end: 4 }] })
    expect(session.select(step)).toBe(selection)
    expect(session.place({ tier: 'device', heldBytes: 2, budgetBytes: 1 }).moves).toHaveLength(1)
    expect(session.counts().indexBytes).toBe(4)
    expect(events).toEqual([])
  })

  const calls: [Slot | 'rewind' | 'counts', (session: ReturnType<typeof openGuarded>) => unknown][] = [
    ['select', (session) => session.select(step)],
    ['retain', (session) => session.retain(view)],
    ['reuse', (session) => session.reuse(prompt)],
    ['recompute', (session) => session.recompute(report)],
    ['append', (session) => session.append(token)],
    ['place', (session) => session.place({ tier: 'device', heldBytes: 2, budgetBytes: 1 })],
    ['publish', (session) => session.publish(done)],
    ['rewind', (session) => session.rewind(4)],
    ['counts', (session) => session.counts()],
  ]
  test.each(calls)('is set aside for good when %s throws, and says so once', async (hook, call) => {
    const others = vi.fn(fail)
    const hooks = { select: others, retain: others, reuse: others, append: others, publish: others, place: others }
    const { session, events } = guarded({ ...hooks, recompute: others, [hook]: fail })
    await call(session)
    expect(events).toMatchObject([{ policy: 'probe', sequence: 's1', hook, error: { message: 'planted' } }])
    expect(session.quarantined).toBe(true)
    await expectFullCache(session)
    expect(others).not.toHaveBeenCalled()
    expect(events).toHaveLength(1)
  })

  test.each<[string, Hooks, (session: ReturnType<typeof openGuarded>) => unknown]>([
    [
      'a selection without the current token',
      { select: () => ({ kind: 'runs', runs: runsOfSpans([], 2) }) },
      (s) => s.select(step),
    ],
    ['a promised selection', { select: () => Promise.reject(new Error('late')) as never }, (s) => s.select(step)],
    ['spans past the end', { retain: async () => ({ evict: [{ start: 0, end: 21 }] }) }, (s) => s.retain(view)],
    ['a reuse plan that is none', { reuse: async () => ({}) as never }, (s) => s.reuse(prompt)],
    ['rows that were skipped', { recompute: () => ({ rows: Int32Array.of(4) }) }, (s) => s.recompute(report)],
    [
      'a tier that is not there',
      { place: () => ({ moves: [{ start: 0, end: 1, tier: 'x' }], reason: '' }) },
      (s) => s.place({} as never),
    ],
  ])('is set aside for %s', async (_, hooks, call) => {
    const { session, events } = guarded(hooks)
    await session.retain({ kv } as PrefillView)
    await call(session)
    expect(events).toMatchObject([{ error: { name: 'PlanError' } }])
  })

  test('is set aside when open throws', async () => {
    const events: QuarantineEvent[] = []
    const policy: CachePolicy = { ...probePolicy({ slots: ['select'], selectScope: 'step' }, () => ({})), open: fail }
    const session = openGuarded(policy, context, { onQuarantine: (event) => events.push(event) })
    expect(events).toMatchObject([{ hook: 'open' }])
    await expectFullCache(session)
    session.rewind(3)
    await expectFullCache(session.fork(context))
  })

  test('is set aside when a hook takes too long', async () => {
    const { session, events } = guarded({ retain: () => new Promise(() => {}) }, { hookTimeoutMs: 20 })
    expect(await session.retain(view)).toEqual({})
    expect(events).toMatchObject([{ hook: 'retain', error: { message: 'no answer within 20 ms' } }])
  })

  test('keeps rows that nobody lent in a partial prefill', async () => {
    const piece = { start: 2, end: 8, donor: 'd', donorStart: 0 }
    const provenance = { kind: 'approximate', losses: ['moved'] } as const
    let rows = Int32Array.of(0, 1, 7)
    const { session, events } = guarded({
      reuse: async () => ({
        kind: 'reuse',
        pieces: [piece],
        recompute: { rows: Int32Array.of(0, 1, 4, 7) },
        provenance,
        reason: '',
      }),
      recompute: () => ({ rows }),
    })
    await session.reuse(prompt)
    const layer = { ...report, rows: { rows: Int32Array.of(0, 1, 4, 7) } }
    expect(session.recompute(layer)).toEqual({ rows })
    rows = Int32Array.of(0, 4, 7)
    expect(session.recompute(layer)).toBe(layer.rows)
    expect(events).toMatchObject([{ hook: 'recompute', error: { got: '"a set without row 1"' } }])
  })
})

test('no answer of a policy, however strange, gets past the guard', async () => {
  await fc.assert(
    fc.asyncProperty(fc.anything(), async (answer) => {
      const give = () => answer as never
      const { session } = guarded({
        select: give,
        retain: give,
        reuse: give,
        recompute: give,
        append: give,
        place: give,
      })
      const selection = session.select(step)
      if (selection.kind !== 'all') throw new Error('accepted')
      await session.retain(view)
      await session.reuse(prompt)
      session.recompute(report)
      await session.append(token)
      session.place({ tier: 'device', heldBytes: 2, budgetBytes: 1 })
    }),
    { numRuns: 300 },
  )
})

describe('what is never downgraded', () => {
  test.each([
    ['ScopeError', new ScopeError({ parameter: 'p', expected: 'e', got: 1 })],
    ['ProvenanceError', new ProvenanceError({ parameter: 'p', expected: 'e', got: 1 })],
  ])('a %s', async (_, error) => {
    const hooks = { select: () => Promise.reject(error) as never, retain: async () => Promise.reject(error) }
    const { session, events } = guarded({
      ...hooks,
      select: () => {
        throw error
      },
    })
    expect(() => session.select(step)).toThrow(error)
    await expect(session.retain(view)).rejects.toBe(error)
    expect([session.quarantined, events]).toEqual([false, []])
  })

  test('publishing under another scope', () => {
    const publish = () => ({ spans: [], scope: privateScope('other'), provenance: { kind: 'exact' } as const })
    expect(() => guarded({ publish }).session.publish(done)).toThrow(ScopeError)
  })

  test('the error of a hook that was aborted', async () => {
    const stop = AbortSignal.abort()
    const { session, events } = guarded({ retain: async ({ signal }) => signal!.throwIfAborted() as never })
    await expect(session.retain({ ...view, signal: stop })).rejects.toBe(stop.reason)
    expect(events).toEqual([])
    // Half an index would be worse than none.
    await expectFullCache(session)
    expect(events).toMatchObject([{ hook: 'retain', error: stop.reason }])
  })

  test('what bind throws', () => {
    const error = new CapabilityError({ parameter: 'p', expected: 'e', got: 1 })
    const policy: CachePolicy = {
      ...probePolicy({ slots: [] }, () => ({})),
      bind: () => {
        throw error
      },
    }
    expect(() => openGuarded(policy, context, { onQuarantine() {} })).toThrow(error)
  })
})

describe('evicted rows', () => {
  const stepAfter = { ...step, kv: { ...kv, evicted: [{ start: 2, end: 18 }] } }

  test('are in no selection, whatever the policy says', () => {
    const { session } = guarded({ select: () => ({ kind: 'runs', runs: runsOfSpans([{ start: 0, end: 20 }], 2) }) })
    const selection = session.select(stepAfter)
    expect(selection.kind === 'runs' && indicesOfRow(selection.runs, 1)).toEqual([0, 1, 18, 19])
  })

  test('are not in everything, set aside or not, and the list is made once', () => {
    const { session } = guarded({ select: fail })
    const selection = session.select(stepAfter)
    expect(selection.kind === 'runs' && indicesOfRow(selection.runs, 0)).toEqual([0, 1, 18, 19])
    const again = session.select(stepAfter)
    expect(again.kind === 'runs' && selection.kind === 'runs' && again.runs === selection.runs).toBe(true)
    const longer = session.select({ ...stepAfter, numTokens: 21 })
    expect(longer.kind === 'runs' && indicesOfRow(longer.runs, 0)).toEqual([0, 1, 18, 19, 20])
  })
})

describe('fork and rewind', () => {
  test('reach the session, and the fork is guarded too', () => {
    const rewind = vi.fn()
    const child: PolicySession = { select: fail, async [Symbol.asyncDispose]() {} }
    const { session, events } = guarded({ select: () => ({ kind: 'all' }), rewind, fork: () => child })
    session.rewind(5)
    expect(rewind).toHaveBeenCalledWith(5)
    const fork = session.fork({ ...context, id: 's2' })
    fork.select(step)
    expect([fork.quarantined, session.quarantined]).toEqual([true, false])
    expect(events).toMatchObject([{ sequence: 's2', hook: 'select' }])
  })

  test('are refused where the policy cannot', () => {
    const { session } = guarded({ fork: undefined, rewind: undefined } as never)
    expect(() => session.fork(context)).toThrow(CapabilityError)
    expect(() => session.rewind(1)).toThrow(/probe.rewind: expected a session with rewind/)
  })

  test('a fork that fails is set aside, its parent is not', async () => {
    const { session, events } = guarded({ select: () => ({ kind: 'all' }), fork: fail })
    const fork = session.fork(context)
    expect(events).toMatchObject([{ hook: 'fork' }])
    expect([fork.quarantined, session.quarantined]).toEqual([true, false])
    await expectFullCache(fork)
  })
})

describe('disposal', () => {
  test('reaches the session once, set aside or not, and its failure is an event', async () => {
    const dispose = vi.fn(fail)
    const { session, events } = guarded({ select: () => ({ kind: 'all' }), [Symbol.asyncDispose]: dispose } as Hooks)
    await session[Symbol.asyncDispose]()
    await session[Symbol.asyncDispose]()
    expect(dispose).toHaveBeenCalledTimes(1)
    expect(events).toMatchObject([{ hook: 'dispose' }])
  })
})

test('misuse is refused', () => {
  const policy = probePolicy({ slots: ['select'], selectScope: 'step' }, () => ({}))
  expect(() => openGuarded(policy, context, { onQuarantine() {}, timeoutMs: 1 } as never)).toThrow(OptionError)
  expect(() => openGuarded(policy, context, { onQuarantine() {}, hookTimeoutMs: 0 })).toThrow(OptionError)
  const [first, second] = profile.shape.layers
  const uneven = { ...profile, shape: { layers: [first, { ...second, numKvHeads: 1 }] } }
  expect(() => openGuarded(policy, { ...context, profile: uneven }, { onQuarantine() {} })).toThrow(
    /Select at scope layer/,
  )
})
