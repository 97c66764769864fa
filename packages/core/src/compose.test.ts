import { describe, expect, test } from 'vitest'
import { compose } from './compose.ts'
import { droppedSpans } from './dropped-spans.ts'
import { CapabilityError, ComposeError } from './errors.ts'
import { fixedSelection } from './fixed-selection.ts'
import type { Selection } from './plans.ts'
import type { CachePolicy, Effects, PolicySession } from './policy.ts'
import { indicesOfRow, runsOfIndices, runsOfSpans } from './run-list.ts'
import { scorer } from './scorer.ts'
import type { Span } from './segment.ts'
import { complementSpans } from './spans.ts'
import { policySuite } from './testing/policy-suite.ts'
import { probePolicy } from './testing/probe-policy.ts'
import { toyEngine, toyTokens } from './testing/toy-engine.ts'
import type { PrefillView, StepView } from './views.ts'

type Hooks = Parameters<typeof probePolicy>[1]

function named(name: string, effects: Omit<Effects, 'fidelity'>, hooks: Hooks): CachePolicy {
  return { ...probePolicy(effects, hooks), name }
}

/** Evicts spans once the prompt is read. */
function pruner(...evict: Span[]): CachePolicy {
  const policy = named('pruner', { slots: ['retain'] }, () => ({
    retain: async ({ kv, last }) => (last ? { evict: evict.filter(({ end }) => end <= kv.numTokens) } : {}),
  }))
  const bind: CachePolicy['bind'] = (engine) => {
    if (engine.capabilities.has('retain.evict')) return
    throw new CapabilityError({ parameter: 'pruner', expected: 'retain.evict', got: engine.name })
  }
  return { ...policy, bind }
}

/** Narrows what stands to the last n rows. */
function lastRows(n: number): CachePolicy {
  return named('last', { slots: ['select'], selectScope: 'step', refines: true }, () => ({
    select: ({ numTokens, chosen }) => {
      const list = chosen?.kind === 'runs' ? chosen.runs : runsOfSpans([{ start: 0, end: numTokens }], 2)
      const rows = indicesOfRow(list, 0).filter((index) => index >= numTokens - n)
      return {
        kind: 'runs',
        runs: runsOfSpans(
          rows.map((index) => ({ start: index, end: index + 1 })),
          2,
        ),
      }
    },
  }))
}

const recent = fixedSelection('recent', ({ numTokens }) => [{ start: Math.max(0, numTokens - 32), end: numTokens }])
const nearest = scorer('nearest', { budgetTokens: 40 }, ({ numTokens }) => new Float32Array(numTokens))
const optional = { ...nearest, effects: { ...nearest.effects, withoutSelect: "keep: 'all'" } }
const step = { layer: null, numTokens: 100, queries: null, kv: { numTokens: 99 } } as unknown as StepView
const context = { id: 's', profile: toyEngine().profile, scope: {} as never }

function selected(session: PolicySession, view: StepView): number[] {
  const selection = session.select!(view)
  return selection.kind === 'runs' ? indicesOfRow(selection.runs, 0) : []
}

describe('compose: a pruner and a scorer', () => {
  policySuite(() => compose(pruner({ start: 8, end: 40 }), nearest), { describe, test, budgetTokens: 40 })
})

describe('compose: a selector of scope step refined at scope layer', () => {
  const atLayer = { ...lastRows(20), effects: { ...lastRows(20).effects, selectScope: 'layer' as const } }
  const bind: CachePolicy['bind'] = (engine) => recent.bind(engine)
  policySuite(() => compose(recent, { ...atLayer, bind }), { describe, test, budgetTokens: 20 })
})

describe('compose', () => {
  test('names and frees what it is made of', async () => {
    const disposed: string[] = []
    const part = (name: string) =>
      named(name, { slots: [] }, () => ({
        async [Symbol.asyncDispose]() {
          disposed.push(name)
          if (name === 'a') throw new Error('planted')
        },
      }))
    const policy = compose(part('a'), part('b'))
    expect(policy.name).toBe('a + b')
    await expect(policy.open(context)[Symbol.asyncDispose]()).rejects.toThrow('planted')
    expect(disposed).toEqual(['a', 'b'])
  })

  test('disposes the sessions that are open when another cannot be', () => {
    const disposed: string[] = []
    const part = named('part', { slots: [] }, () => ({
      async [Symbol.asyncDispose]() {
        disposed.push('part')
      },
    }))
    const fails = () => {
      throw new Error('planted')
    }
    expect(() => compose(part, { ...part, open: fails }).open(context)).toThrow('planted')
    expect(disposed).toEqual(['part'])
    const unforkable = named('unforkable', { slots: [] }, () => ({ fork: fails }))
    const session = compose(part, unforkable).open(context)
    expect(() => session.fork!(context)).toThrow('planted')
    expect(disposed).toEqual(['part', 'part'])
  })

  test('merges effects', () => {
    expect(compose(pruner(), recent, lastRows(4)).effects).toEqual({
      slots: ['retain', 'select'],
      fidelity: 'lossy',
      selectScope: 'step',
      refines: false,
    })
    const harmless: CachePolicy = { ...pruner(), effects: { slots: ['retain'], fidelity: 'exact' } }
    expect(compose(harmless).effects).toEqual({ slots: ['retain'], fidelity: 'exact' })
    expect(compose(lastRows(4)).effects.refines).toBe(true)
    expect(compose(recent, nearest.effects.refines ? nearest : lastRows(3)).effects.selectScope).toBe('step')
  })

  test('binds all parts', () => {
    const bare = { ...context.profile, capabilities: new Set(['select.runs']) }
    expect(() => compose(recent, pruner()).bind(bare)).toThrow(CapabilityError)
    compose(recent).bind(bare)
  })

  test('lets later policies refine what the selector chose', () => {
    expect(selected(compose(recent, lastRows(5)).open(context), step)).toEqual([95, 96, 97, 98, 99])
    expect(selected(compose(lastRows(40), lastRows(2)).open(context), step)).toEqual([98, 99])
    const inner = compose(lastRows(3))
    expect(selected(compose(recent, inner).open(context), step)).toEqual([97, 98, 99])
  })

  test('asks a selector of scope step once a step in a stack of scope layer', () => {
    const asked: (number | null)[] = []
    const counting = named('counting', { slots: ['select'], selectScope: 'step' }, () => ({
      select({ layer, queries }): Selection {
        asked.push(layer)
        expect(queries).toBeNull()
        return { kind: 'all' }
      },
    }))
    const layered = { ...lastRows(4), effects: { ...lastRows(4).effects, selectScope: 'layer' as const } }
    const session = compose(counting, layered).open(context)
    const queries = new Float32Array(32)
    for (const numTokens of [100, 101]) {
      for (const layer of [0, 1]) selected(session, { ...step, layer, queries, numTokens })
    }
    expect(asked).toEqual([null, null])
    selected(session, { ...step, layer: 1, queries, numTokens: 102 })
    expect(asked).toHaveLength(3)
  })

  test('joins evictions, and shows later policies what earlier ones evicted', async () => {
    const seen: unknown[] = []
    const watching = named('watching', { slots: ['retain'] }, () => ({
      async retain({ kv }) {
        seen.push(kv.evicted)
        return { evict: [{ start: 4, end: 9 }], reason: 'enough' }
      },
    }))
    const session = compose(pruner({ start: 2, end: 5 }), watching).open(context)
    const view = { last: true, kv: { numTokens: 20, evicted: [{ start: 12, end: 13 }] } } as unknown as PrefillView
    expect(await session.retain!(view)).toEqual({ evict: [{ start: 2, end: 9 }], reason: 'watching: enough' })
    expect(seen).toEqual([
      [
        { start: 2, end: 5 },
        { start: 12, end: 13 },
      ],
    ])
    const wild = named('wild', { slots: ['retain'] }, () => ({
      retain: async () => ({ evict: [{ start: 5, end: 30 }] }),
    }))
    const wrong = compose(wild, watching).open(context)
    await expect(wrong.retain!(view)).rejects.toThrow(/wild: plan.evict/)
  })

  test('shows selectors the rows that any other part drops, each KV head its own', async () => {
    const keepers = [2, 3].map((divisor) =>
      named('keeper', { slots: ['retain'] }, () => ({
        retain: async ({ kv: { numTokens } }) => {
          const rows = [0, 1].map((at) => Array.from({ length: numTokens }, (_, row) => row + at))
          return { keep: [runsOfIndices(rows.map((row) => row.filter((index) => index % divisor === 0)))] }
        },
      })),
    )
    const seen: number[][] = []
    const selector = named('selector', { slots: ['retain', 'select'], selectScope: 'step' }, () => ({
      async retain({ kv }) {
        for (const kvHead of [0, 1]) {
          const held = complementSpans(droppedSpans(kv, 0, kvHead), 14)
          seen.push(held.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at)))
        }
        return {}
      },
      select: () => ({ kind: 'all' }),
    }))
    const kv = { numTokens: 14, evicted: [{ start: 0, end: 1 }] }
    await compose(selector, pruner({ start: 11, end: 14 }), ...keepers).open(context).retain!({
      last: true,
      kv,
    } as unknown as PrefillView)
    expect(seen).toEqual([[6], [6]])
  })

  test('takes the first reuse plan, and joins the reasons of all declines', async () => {
    const declining = (name: string) =>
      named(name, { slots: ['reuse'] }, () => ({ reuse: async () => ({ kind: 'decline', reason: 'too new' }) }))
    const lending = named('lending', { slots: ['reuse', 'recompute'] }, () => ({
      reuse: async () => ({
        kind: 'reuse',
        pieces: [],
        provenance: { kind: 'exact' },
        reason: 'r',
        recompute: { rows: new Int32Array(1) },
      }),
      recompute: () => ({ rows: new Int32Array(0) }),
    }))
    const prompt = { tokens: new Int32Array(1), pieces: ['a'] }
    const report = {
      layer: 0,
      rows: { rows: Int32Array.of(3, 4) },
      distances: new Float32Array(2),
      deviations: new Float32Array(2),
    }
    const none = compose(declining('a'), declining('b')).open(context)
    expect(await none.reuse!(prompt)).toEqual({ kind: 'decline', reason: 'a: too new; b: too new' })
    const some = compose(declining('a'), lending).open(context)
    expect(some.recompute!(report)).toBe(report.rows)
    expect((await some.reuse!(prompt)).kind).toBe('reuse')
    expect(some.recompute!(report)).toEqual({ rows: new Int32Array(0) })
  })

  test('passes append, rewind and fork to all parts, and cannot do what one cannot', async () => {
    const calls: string[] = []
    const part = (name: string, more: Partial<PolicySession> = {}) =>
      named(name, { slots: ['append'] }, () => ({
        append: () => void calls.push(`${name} append`),
        rewind: (n) => void calls.push(`${name} rewind ${n}`),
        ...more,
      }))
    const session = compose(part('a'), part('b')).open(context)
    await session.append!({} as never)
    session.fork!(context).rewind!(7)
    expect(calls).toEqual(['a append', 'b append', 'a rewind 7', 'b rewind 7'])
    const stuck = compose(part('a'), part('b', { fork: undefined, rewind: undefined } as never)).open(context)
    expect([stuck.fork, stuck.rewind]).toEqual([undefined, undefined])
  })

  test('sums counters', async () => {
    const { report } = await toyEngine().generate('x'.repeat(60), {
      maxTokens: 2,
      policy: compose(recent, lastRows(5)),
    })
    expect(report.policy).toMatchObject({ steps: 2, attendedTokens: 32 * 2 * 2 * 2 })
  })

  test.each([
    ['nothing', () => compose(), /at least one policy/],
    ['two selectors', () => compose(recent, nearest), /\. Keep one of recent and nearest/],
    [
      'two selectors, one of which need not be one',
      () => compose(recent, optional),
      /Give nearest keep: 'all': then it/,
    ],
    ['a selector after one that refines', () => compose(lastRows(2), recent), /Put recent before last/],
    ['two that publish', () => compose(publisher('a'), publisher('b')), /Keep one of a, b/],
    ['a refined native selector', () => compose(nativeSelector(true), lastRows(2)), /Leave last out/],
  ])('refuses %s while it is built', (_, build, message) => {
    expect(build).toThrow(ComposeError)
    expect(build).toThrow(message)
  })

  test('sets a stack aside whose selector turns out native', async () => {
    const hooks: string[] = []
    const sequence = toyEngine().createSequence({
      policy: compose(nativeSelector(false), lastRows(2)),
      onQuarantine: ({ hook, error }) => hooks.push(`${hook}: ${(error as Error).name}`),
    })
    await sequence.prefill(toyTokens('abc'))
    await sequence.decode(100)
    expect(hooks).toEqual(['select: PlanError'])
  })
})

function publisher(name: string): CachePolicy {
  return named(name, { slots: ['publish'] }, () => ({ publish: () => ({}) as never }))
}

function nativeSelector(selectsNatively: boolean): CachePolicy {
  return named('native', { slots: ['select'], selectScope: 'step', selectsNatively }, () => ({
    select: () => ({ kind: 'native', selector: { kind: 'x' } }),
  }))
}
