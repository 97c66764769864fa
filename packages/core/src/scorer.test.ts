import { describe, expect, test } from 'vitest'
import { compose } from './compose.ts'
import { CapabilityError, OptionError } from './errors.ts'
import type { QuarantineEvent } from './guard.ts'
import { indicesOfRow } from './run-list.ts'
import { type ScorerView, scorer } from './scorer.ts'
import { policySuite } from './testing/policy-suite.ts'
import { probePolicy } from './testing/probe-policy.ts'
import { toyEngine } from './testing/toy-engine.ts'
import type { StepView } from './views.ts'

/** The sum of q·k over the queries that read the head. */
function dotProducts({ queries, keys, numTokens }: ScorerView): Float32Array {
  const held = keys(0, numTokens)
  const headDim = held.length / numTokens
  return Float32Array.from({ length: numTokens }, (_, token) => {
    let sum = 0
    for (let i = 0; i < queries.length; i++) sum += queries[i] * held[token * headDim + (i % headDim)]
    return sum
  })
}

describe('scorer', () => {
  policySuite(() => scorer('dots', { budgetTokens: 48 }, dotProducts), { describe, test, budgetTokens: 48 })

  const { profile } = toyEngine()
  const options = { budgetTokens: 8, sinkTokens: 2, recentTokens: 3 }
  const step = { layer: 1, numTokens: 20, queries: new Float32Array(32), kv: { numTokens: 20 } } as unknown as StepView

  function select(score: (view: ScorerView) => ArrayLike<number>, view = step): number[][] {
    const session = scorer('test', options, score).open({ id: 's', profile, scope: {} as never })
    const selection = session.select!(view)
    if (selection.kind !== 'runs') throw new Error(selection.kind)
    return [0, 1].map((kvHead) => indicesOfRow(selection.runs, kvHead))
  }

  test('keeps sinks, recent tokens and the best of the rest, each KV head its own', () => {
    const rows = select(({ kvHead, numTokens }) => Array.from({ length: numTokens }, (_, i) => (kvHead ? i : -i)))
    expect(rows).toEqual([
      [0, 1, 2, 3, 4, 17, 18, 19],
      [0, 1, 14, 15, 16, 17, 18, 19],
    ])
  })

  test('never chooses evicted rows', () => {
    const view = { ...step, kv: { ...step.kv, evicted: [{ start: 2, end: 10 }] } }
    expect(select(({ numTokens }) => new Float32Array(numTokens), view)[0]).toEqual([0, 1, 10, 11, 12, 17, 18, 19])
  })

  test('fills the budget with rows that the KV head still reads', () => {
    const dropped = (_: number, kvHead: number) => [{ start: kvHead, end: 10 + kvHead }]
    const view = { ...step, kv: { ...step.kv, dropped } }
    expect(select(({ numTokens }) => new Float32Array(numTokens), view)).toEqual([
      [10, 11, 12, 13, 14, 17, 18, 19],
      [0, 11, 12, 13, 14, 17, 18, 19],
    ])
  })

  test('reads everything while the budget is not filled', () => {
    const session = scorer('test', options, () => []).open({ id: 's', profile, scope: {} as never })
    expect(session.select!({ ...step, numTokens: 8 })).toEqual({ kind: 'all' })
    expect(session.counts!()).toEqual({ steps: 0, attendedTokens: 16, pooledTokens: 0, indexBytes: 0 })
  })

  test('gives each KV head the queries of its group', () => {
    const queries = Float32Array.from({ length: 32 }, (_, i) => i)
    const firsts: number[] = []
    const score = (view: ScorerView) => {
      firsts.push(view.queries[0], view.queries.length)
      return new Float32Array(view.numTokens)
    }
    select(score, { ...step, queries })
    expect(firsts).toEqual([0, 16, 16, 16])
  })

  test('counts what was read, to choose and to attend', async () => {
    const policy = scorer('dots', { budgetTokens: 24 }, dotProducts)
    const { report } = await toyEngine().generate('x'.repeat(40), { maxTokens: 2, policy })
    expect(report.policy).toEqual({
      steps: 2,
      attendedTokens: 24 * 2 * 2 * 2,
      pooledTokens: (41 + 42) * 4,
      indexBytes: 0,
    })
    expect(report.attendedTokens).toBe(report.policy?.attendedTokens)
  })

  test.each([
    ['too few', () => [1, 2, 3]],
    ['nothing', () => undefined as never],
    ['NaN', ({ numTokens }: ScorerView) => new Float32Array(numTokens).fill(Number.NaN)],
  ])('is set aside if its function gives %s', async (_, score) => {
    const events: QuarantineEvent[] = []
    const policy = compose(
      scorer('bad', { budgetTokens: 24 }, score),
      probePolicy({ slots: [] }, () => ({})),
    )
    await toyEngine().generate('x'.repeat(40), { maxTokens: 2, policy, onQuarantine: (event) => events.push(event) })
    expect(events).toMatchObject([{ policy: 'bad + probe', hook: 'select', error: { name: 'PlanError' } }])
  })

  test('refuses misuse', () => {
    const score = ({ numTokens }: ScorerView) => new Float32Array(numTokens)
    expect(() => scorer('s', {} as never, score)).toThrow(OptionError)
    expect(() => scorer('s', { budgetTokens: 20 }, score)).toThrow(/more than sinkTokens \+ recentTokens = 20/)
    expect(() => scorer('s', { budgetTokens: 64, sinkToken: 2 } as never, score)).toThrow(/Did you mean sinkTokens/)
    expect(() => scorer('s', { budgetTokens: 64, recentTokens: 0 }, score)).toThrow(OptionError)
    const poor = { ...profile, capabilities: new Set(['select.runs']) }
    expect(() => scorer('s', { budgetTokens: 64 }, score).bind(poor)).toThrow(CapabilityError)
    expect(() => scorer('s', { budgetTokens: 64 }, score).bind(poor)).toThrow(/lacks observe.query, observe.keys/)
  })
})
