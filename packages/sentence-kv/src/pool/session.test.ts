import {
  type CachePolicy,
  CapabilityError,
  compose,
  indicesOfRow,
  openGuarded,
  privateScope,
  type QuarantineEvent,
} from '@kvasir/core'
import { policySuite, toyEngine, toyTokens } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { sentenceKv } from '../sentence-kv.ts'
import { TestSequence, testNumbers, testShape } from '../testing/test-sequence.ts'

const modes: readonly [string, () => CachePolicy, number][] = [
  ['paper', () => sentenceKv({ mode: 'paper', budgetTokens: 24 }), 24],
  ['released', () => sentenceKv({ mode: 'released', budgetTokens: 66, keep: 1.5 }), 66],
]

const prose = Array.from({ length: 200 }, (_, at) => (at % 10 === 9 ? '.' : ' word'))
const answer = [' a', ' b', '.', ' c', ' d', ' e', '!', ' f', ' g']

describe.each(modes)('mode %s', (name, make, budgetTokens) => {
  // Dense steps of the published code read more than the budget.
  describe('keeps the contract of a policy', () =>
    policySuite(make, { describe, test, ...(name === 'paper' && { budgetTokens }) }))

  test('a fork goes on as the original does, each by itself', async () => {
    const numbers = testNumbers(4)
    const policy = make()
    const context = { id: 's', profile: profileOf(), scope: privateScope('s') }
    const session = policy.open(context)
    const first = new TestSequence(policy, numbers, testShape, session)
    await first.prefill(prose)
    await first.decodeAll(answer.slice(0, 5))
    const fork = new TestSequence(policy, numbers, testShape, session.fork!(context))
    fork.numTokens = first.numTokens
    const others = await fork.decodeAll(['!', ' x', ' y'])
    const rest = await first.decodeAll(answer.slice(5))
    const fresh = new TestSequence(make(), numbers)
    await fresh.prefill(prose)
    expect(rest).toEqual((await fresh.decodeAll(answer)).slice(5))
    const other = new TestSequence(make(), numbers)
    await other.prefill(prose)
    expect(others).toEqual((await other.decodeAll([...answer.slice(0, 5), '!', ' x', ' y'])).slice(5))
  })

  test('cut back inside the open sentence or to its start, it goes on as a fresh one', async () => {
    const numbers = testNumbers(4)
    const fresh = new TestSequence(make(), numbers)
    await fresh.prefill(prose)
    const expected = await fresh.decodeAll(answer)
    for (const kept of [0, 7, 8]) {
      const sequence = new TestSequence(make(), numbers)
      await sequence.prefill(prose)
      await sequence.decodeAll(answer)
      sequence.rewind(prose.length + kept)
      expect(await sequence.decodeAll(answer.slice(kept))).toEqual(expected.slice(kept))
    }
  })

  test('cut back into the prompt, it goes on over what had stayed of it', async () => {
    const numbers = testNumbers(4)
    const sequence = new TestSequence(make(), numbers)
    const { keep } = await sequence.prefill(prose)
    await sequence.decodeAll(answer)
    const stayed = new Set([0, 1].flatMap((row) => indicesOfRow(keep![0], row)))
    sequence.rewind(120)
    for (const step of await sequence.decodeAll(answer)) {
      for (const rows of step[0]!) expect(rows.filter((at) => at < 120 && !stayed.has(at))).toEqual([])
    }
    await sequence.prefill(prose)
    expect((await sequence.decode(' a'))[0]).toHaveLength(name === 'paper' ? 2 : 4)
  })

  test('a second prompt is pruned together with what stands, and never brings dropped rows back', async () => {
    const sequence = new TestSequence(make(), testNumbers(4))
    const first = await sequence.prefill(prose)
    await sequence.decodeAll(answer)
    const second = await sequence.prefill(prose.slice(0, 40))
    const stayed = new Set(indicesOfRow(first.keep![1], 0))
    const again = indicesOfRow(second.keep![1], 0)
    expect(again.filter((at) => at < prose.length && !stayed.has(at))).toEqual([])
    expect(again.some((at) => at >= prose.length)).toBe(true)
  })

  test('a step that is tried again after an abort counts its queries once', async () => {
    const numbers = testNumbers(4)
    const policy = make()
    const session = policy.open({ id: 's', profile: profileOf(), scope: privateScope('s') })
    const sequence = new TestSequence(policy, numbers, testShape, session)
    await sequence.prefill(prose)
    await sequence.decodeAll([' a', ' b'])
    const queries = new Float32Array(32).fill(50)
    const kv = { numTokens: 203, keys: () => new Float32Array(0), values: () => new Float32Array(0) }
    session.select!({ layer: 0, numTokens: 203, queries, piece: ' x', kv })
    const fresh = new TestSequence(make(), numbers)
    await fresh.prefill(prose)
    await fresh.decodeAll([' a', ' b'])
    expect(await sequence.decode(' c')).toEqual(await fresh.decode(' c'))
  })

  test('a prompt that nobody observed is refused, with the way out; under a guard the full cache answers', async () => {
    const session = make().open({ id: 's', profile: profileOf(), scope: privateScope('s') })
    const kv = { numTokens: 1, keys: () => new Float32Array(8), values: () => new Float32Array(8) }
    const view = { tokens: Int32Array.of(1), pieces: ['a'], start: 0, last: true, kv }
    await expect(session.retain!(view)).rejects.toThrow(/let the engine observe that prompt/)
    const events: QuarantineEvent[] = []
    const { profile } = toyEngine()
    const guarded = openGuarded(
      make(),
      { id: 's', profile, scope: privateScope('s') },
      { onQuarantine: (e) => events.push(e) },
    )
    expect(await guarded.retain(view)).toEqual({})
    expect(events.map(({ hook }) => hook)).toEqual(['retain'])
  })

  test('an abort while the prompt is pruned ends the prefill, and nothing is left half done', async () => {
    const engine = toyEngine()
    const sequence = engine.createSequence({ policy: make() })
    await sequence.prefill(toyTokens('One sentence. Another one.'))
    const abort = new AbortController()
    const prefilling = sequence.prefill(toyTokens('It goes on. '.repeat(20)), { signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(prefilling).rejects.toThrow('enough')
    await sequence[Symbol.asyncDispose]()
  })

  test('aborted while a second prompt is pruned and cut back, it goes on as if that had never come', async () => {
    const numbers = testNumbers(4)
    const fresh = new TestSequence(make(), numbers)
    await fresh.prefill(prose)
    const expected = await fresh.decodeAll(answer)
    const abort = new Error('aborted')
    for (const atLayer of [0, 1]) {
      let aborts = false
      const mass = (layer: number, numTokens: number) => {
        if (aborts && layer === atLayer) throw abort
        return numbers.mass(layer, numTokens)
      }
      const sequence = new TestSequence(make(), { ...numbers, mass })
      await sequence.prefill(prose)
      await sequence.decodeAll(answer.slice(0, 5))
      aborts = true
      await expect(sequence.prefill(prose)).rejects.toBe(abort)
      sequence.rewind(prose.length + 5)
      expect(await sequence.decodeAll(answer.slice(5))).toEqual(expected.slice(5))
    }
  })

  test('it stands in a stack', () => {
    expect(compose(make()).effects).toMatchObject({ observes: { windowTokens: 32 }, selectScope: 'layer' })
  })
})

test('an engine that lacks observation, or lists a query head, is refused by name', () => {
  const { profile } = toyEngine()
  const without = (name: string) => ({
    ...profile,
    capabilities: new Set([...profile.capabilities].filter((capability) => capability !== name)),
  })
  for (const [, make] of modes) {
    expect(() => make().bind(profile)).not.toThrow()
    expect(() => make().bind(without('observe.attention-mass'))).toThrow(CapabilityError)
    expect(() => make().bind(without('retain.per-head'))).toThrow(/lacks retain\.per-head/)
  }
  expect(() => modes[1][1]().bind(without('select.per-query-head'))).toThrow(/lacks select\.per-query-head/)
  expect(() => modes[0][1]().bind(without('select.per-query-head'))).not.toThrow()
})

function profileOf() {
  return { name: 'test', shape: testShape, capabilities: new Set<string>(), contextTokens: 4096 }
}
