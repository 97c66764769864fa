import { expect, test } from 'vitest'
import type { CachePolicy } from '../policy.ts'
import { engineSuite } from './engine-suite.ts'
import type { EngineUnderTest, SequenceTestOptions, SequenceUnderTest } from './engine-under-test.ts'
import { watchPolicy } from './probe-policy.ts'
import { toyEngine, toyTokens } from './toy-engine.ts'

const prompt = toyTokens('A prompt of some fifty bytes, to be read in chunks.')
const decoded = toyTokens('abcde')

/** Runs the suite on an engine and gives the names of the tests that fail; `only`: just the one of that name. */
async function failures(engine: EngineUnderTest, only?: string): Promise<string[]> {
  const tests: [string, () => Promise<void>][] = []
  const describe = (_: string, body: () => void) => body()
  const add = (name: string, body: () => Promise<void>) => name === (only ?? name) && tests.push([name, body])
  engineSuite(() => engine, { describe, test: add, prompt, decoded })
  expect(tests.length, only).toBeGreaterThan(0)
  const failed: string[] = []
  for (const [name, body] of tests) await body().catch(() => failed.push(name))
  return failed
}

/** The toy engine with its policies or its sequences changed. */
function broken(
  policyOf: (policy: CachePolicy) => CachePolicy | undefined,
  sequenceOf: (sequence: SequenceUnderTest) => SequenceUnderTest = (sequence) => sequence,
): EngineUnderTest {
  const toy = toyEngine()
  return {
    profile: toy.profile,
    createSequence({ policy, ...rest }: SequenceTestOptions) {
      const changed = policy && policyOf(policy)
      return sequenceOf(toy.createSequence({ ...rest, ...(changed && { policy: changed }) }))
    },
  }
}

function without(slot: string): (policy: CachePolicy) => CachePolicy {
  return (policy) => ({
    ...policy,
    effects: { ...policy.effects, slots: policy.effects.slots.filter((each) => each !== slot) },
  })
}

test('an engine that keeps the contract fails nothing', async () => {
  expect(await failures(broken((policy) => policy))).toEqual([])
})

test('an engine that does not fails where it does not', async () => {
  const views = 'calls the hooks in order, with views as the contract says'
  const cases: [EngineUnderTest, string][] = [
    [broken(() => undefined), 'reads no other rows than selected, alike at both scopes'],
    [broken(() => undefined), 'refuses a policy that it cannot serve with what bind throws'],
    [broken(() => undefined), 'disposes the session once, with the sequence'],
    [broken(without('select')), 'sets a policy aside for the full cache when its select throws'],
    [broken(without('select')), 'never downgrades a ScopeError'],
    [broken(without('append')), views],
    [broken(without('retain')), views],
    [broken(without('retain')), 'evicts the rows that a plan names, and reads them nowhere'],
    [broken(hiding), 'tells policies which rows a plan dropped'],
    [broken(shifting), views],
    [broken((policy) => policy, unstoppable), 'stops on abort, and goes on from the rows that stand'],
    [broken((policy) => policy, forgetful), 'forks and rewinds rows together with the session'],
    [broken((policy) => policy, chunky), 'gives the same bits however the prompt is cut into chunks'],
  ]
  for (const [engine, name] of cases) expect(await failures(engine, name), name).toEqual([name])
})

/** Says nothing of rows that were dropped. */
function hiding(policy: CachePolicy): CachePolicy {
  return watchPolicy(policy, {
    before(hook, args) {
      if (hook !== 'select') return
      const view = args[0] as { kv: object }
      Object.assign(view, { kv: { ...view.kv, dropped: () => [] } })
    },
  })
}

/** Tells policies that chunks start one token late. */
function shifting(policy: CachePolicy): CachePolicy {
  return watchPolicy(policy, {
    before(hook, args) {
      if (hook === 'retain') Object.assign(args[0] as object, { start: (args[0] as { start: number }).start + 1 })
    },
  })
}

function unstoppable(sequence: SequenceUnderTest): SequenceUnderTest {
  return changed(sequence, { prefill: (tokens) => sequence.prefill(tokens) })
}

function forgetful(sequence: SequenceUnderTest): SequenceUnderTest {
  return changed(sequence, { fork: async () => forgetful(await sequence.fork()), rewind() {} })
}

/** Reads chunks of an odd number of tokens with their first token changed. */
function chunky(sequence: SequenceUnderTest): SequenceUnderTest {
  return changed(sequence, {
    prefill(tokens, options) {
      return sequence.prefill(
        options?.chunkTokens === 3 ? tokens.map((token, at) => (at === 0 ? 0 : token)) : tokens,
        options,
      )
    },
  })
}

function changed(sequence: SequenceUnderTest, change: Partial<SequenceUnderTest>): SequenceUnderTest {
  return {
    get numTokens() {
      return sequence.numTokens
    },
    prefill: (tokens, options) => sequence.prefill(tokens, options),
    decode: (token, options) => sequence.decode(token, options),
    fork: () => sequence.fork(),
    rewind: (numTokens) => sequence.rewind(numTokens),
    [Symbol.asyncDispose]: () => sequence[Symbol.asyncDispose](),
    ...change,
  }
}
