import { compose } from '../compose.ts'
import { CapabilityError } from '../errors.ts'
import type { RetainPlan } from '../plans.ts'
import type { CachePolicy, Slot } from '../policy.ts'
import { countRunTokens } from '../run-list.ts'
import { privateScope } from '../scope.ts'
import type { EngineUnderTest } from './engine-under-test.ts'
import { watchPolicy } from './probe-policy.ts'
import {
  assertSameLogits,
  assertSameRun,
  assertUndisturbed,
  check,
  decodeRecorded,
  openRecorded,
  prefillRecorded,
  runScript,
  type SuiteRunner,
  type SuiteScript,
} from './suite-run.ts'
import { toyEngine, toyTokens } from './toy-engine.ts'

export interface PolicySuiteOptions extends SuiteRunner {
  /** What the policy promises to read at most: tokens a KV head, mean over the heads of a selection. @default unchecked */
  readonly budgetTokens?: number
  /** @default the toy engine */
  readonly engine?: EngineUnderTest
  /** Longer than the budget. @default a few English sentences for the toy engine; required with another one */
  readonly prompt?: Int32Array
  /** @default bytes of a sentence for the toy engine; required with another one */
  readonly decoded?: Int32Array
}

const promptText =
  'Dr. Smith paid 13.50 for a lazy dog. Was he amused? A cache keeps keys and values of every token it has read. ' +
  'Some of them matter; most do not. Höhe und Tiefe 本 too.\n'

const slots: readonly Slot[] = ['reuse', 'recompute', 'retain', 'select', 'append', 'place', 'publish']

/**
 * The contract of a policy as tests: what it returns is valid on every step, the same for the same input however the
 * prompt is cut, kept apart between sequences, consistent over forks and rewinds, and harmless when a hook throws. Runs
 * twice: on the policy, and on `compose(policy)`.
 */
export function policySuite(makePolicy: () => CachePolicy, options: PolicySuiteOptions): void {
  const { describe } = options
  describe('alone', () => addTests(makePolicy, options))
  describe('composed', () => addTests(() => compose(makePolicy()), options))
}

function addTests(makePolicy: () => CachePolicy, options: PolicySuiteOptions): void {
  const {
    test,
    engine = toyEngine(),
    prompt = toyTokens(promptText),
    decoded = toyTokens('And so it ends. Now'),
  } = options
  const script: SuiteScript = { prompt, decoded }
  const aloneRun = once(() => runScript(engine, script, makePolicy()))
  const fullRun = once(() => runScript(engine, script))

  test('has a name, and the hooks of its slots and no others', async () => {
    const policy = makePolicy()
    check(policy.name !== '', 'the name is empty')
    policy.bind(engine.profile)
    const session = policy.open({ id: 'probe', profile: engine.profile, scope: privateScope('probe') })
    for (const slot of slots) {
      const declared = policy.effects.slots.includes(slot)
      check(
        declared === (session[slot] !== undefined),
        `${slot}: ${declared ? 'declared, but absent' : 'not declared'}`,
      )
    }
    const { selectScope, slots: declared } = policy.effects
    check(declared.includes('select') === (selectScope !== undefined), 'selectScope stands with select, and only there')
    await session[Symbol.asyncDispose]()
  })

  test('refuses an engine that lacks what its plans need', async () => {
    const poor = { ...engine.profile, capabilities: new Set<string>() }
    const policy = makePolicy()
    if (policy.effects.slots.every((slot) => slot === 'append' || slot === 'publish')) return
    try {
      policy.bind(poor)
    } catch (error) {
      return check(error instanceof CapabilityError, 'bind threw something else than a CapabilityError', error)
    }
    throw new Error('bind accepted an engine without any capability')
  })

  test('answers validly at every step', async () => {
    const run = await aloneRun()
    assertUndisturbed(run)
    const asked = makePolicy().effects.slots.includes('select')
    check(!asked || run.selections.length > 0, 'select was never called')
  })

  test('answers validly on one-token prompts and on second turns', async () => {
    const record = await openRecorded(engine, makePolicy())
    await prefillRecorded(record, { prompt: prompt.slice(0, 1), decoded })
    await decodeRecorded(record, decoded)
    await prefillRecorded(record, script)
    await decodeRecorded(record, decoded)
    await record.sequence[Symbol.asyncDispose]()
    assertUndisturbed(record)
  })

  test('is exact where it says so', async () => {
    if (makePolicy().effects.fidelity === 'lossy') return
    assertSameLogits((await aloneRun()).logits, (await fullRun()).logits, 'an exact policy')
  })

  test('keeps its budget', async () => {
    const { budgetTokens } = options
    if (budgetTokens === undefined) return
    check(prompt.length > budgetTokens, `the prompt has ${prompt.length} tokens, no more than the budget`)
    const { selections } = await aloneRun()
    for (const selection of selections) {
      check(selection.kind !== 'all', 'everything was selected')
      if (selection.kind === 'native') continue
      const mean = countRunTokens(selection.runs) / (selection.runs.rowStarts.length - 1)
      check(mean <= budgetTokens, `${mean} tokens a KV head were selected, with a budget of ${budgetTokens}`)
    }
  })

  test('answers the same to the same input', async () => {
    const policy = makePolicy()
    const first = await runScript(engine, script, policy)
    assertSameRun(await runScript(engine, script, policy), first, 'a second sequence')
    assertSameRun(first, await aloneRun(), 'a second policy')
  })

  test('does not mind how the prompt is cut into chunks', async () => {
    const whole = await aloneRun()
    for (const chunkTokens of [1, 7, 16, 50]) {
      const cut = await runScript(engine, { ...script, chunkTokens }, makePolicy())
      assertSameRun(cut, whole, `chunks of ${chunkTokens}`)
    }
  })

  test('keeps sequences apart', async () => {
    const policy = makePolicy()
    const [a, b] = [await openRecorded(engine, policy), await openRecorded(engine, policy)]
    await prefillRecorded(b, { prompt: prompt.slice().reverse(), decoded })
    await prefillRecorded(a, script)
    for (const token of decoded) {
      await decodeRecorded(b, [token])
      await decodeRecorded(a, [token])
    }
    await a.sequence[Symbol.asyncDispose]()
    await b.sequence[Symbol.asyncDispose]()
    assertSameRun(a, await aloneRun(), 'interleaved with another sequence')
  })

  test('goes on alike after a fork', async () => {
    const record = await openRecorded(engine, makePolicy())
    const half = decoded.length >> 1
    await prefillRecorded(record, script)
    await decodeRecorded(record, decoded.slice(0, half))
    const fork = { ...record, logits: [...record.logits], sequence: await record.sequence.fork() }
    await decodeRecorded(fork, decoded.slice(half).reverse())
    await fork.sequence[Symbol.asyncDispose]()
    const twin = { ...record, logits: [...record.logits], sequence: await record.sequence.fork() }
    await decodeRecorded(twin, decoded.slice(half))
    await decodeRecorded(record, decoded.slice(half))
    await twin.sequence[Symbol.asyncDispose]()
    await record.sequence[Symbol.asyncDispose]()
    assertUndisturbed(record)
    const alone = await aloneRun()
    assertSameLogits(record.logits, alone.logits, 'beside forks')
    assertSameLogits(twin.logits, alone.logits, 'a fork')
  })

  test('goes on alike after a rewind', async () => {
    const alone = await aloneRun()
    const record = await openRecorded(engine, makePolicy())
    await prefillRecorded(record, script)
    await decodeRecorded(record, decoded.slice().reverse())
    await record.sequence.rewind(prompt.length)
    record.logits.length = 1
    await decodeRecorded(record, decoded)
    assertUndisturbed(record)
    assertSameLogits(record.logits, alone.logits, 'after decoding')
    if (record.evictions.some(losesRows)) return record.sequence[Symbol.asyncDispose]()
    const cut = Math.floor(prompt.length / 2) + 3
    await record.sequence.rewind(cut)
    record.logits.length = 0
    await prefillRecorded(record, { prompt: prompt.slice(cut), decoded })
    await decodeRecorded(record, decoded)
    await record.sequence[Symbol.asyncDispose]()
    assertUndisturbed(record)
    assertSameLogits(record.logits, alone.logits, 'into the prompt')
  })

  for (const slot of ['reuse', 'retain', 'select', 'append'] as const) {
    test(`is set aside for the full cache when ${slot} throws`, async () => {
      if (!makePolicy().effects.slots.includes(slot)) return
      const failing = watchPolicy(makePolicy(), {
        before(hook) {
          if (hook === slot) throw new Error('planted')
        },
      })
      const run = await runScript(engine, script, failing)
      check(run.events.length === 1, `${run.events.length} events were reported`)
      check(run.events[0].hook === slot, `${run.events[0].hook} was reported`)
      // Rows that were dropped, or computed under the policy, before the fault are not brought back.
      const touched = slot === 'append' || run.evictions.some(losesRows)
      if (!touched) assertSameLogits(run.logits, (await fullRun()).logits, 'set aside')
    })
  }
}

function losesRows({ evict, keep }: RetainPlan): boolean {
  return keep !== undefined || (evict !== undefined && evict.length > 0)
}

/** Makes the value at the first call, and hands out the same one ever after. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
