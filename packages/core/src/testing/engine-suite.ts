import { CapabilityError, ScopeError } from '../errors.ts'
import type { Selection } from '../plans.ts'
import type { CachePolicy } from '../policy.ts'
import { runsOfSpans } from '../run-list.ts'
import type { Span } from '../segment.ts'
import { complementSpans } from '../spans.ts'
import type { PrefillView, StepView, TokenView } from '../views.ts'
import { addAttentionTests } from './engine-suite-attention.ts'
import { addHeadTests } from './engine-suite-heads.ts'
import { addReuseTests } from './engine-suite-reuse.ts'
import type { EngineUnderTest } from './engine-under-test.ts'
import { probePolicy, selecting } from './probe-policy.ts'
import {
  assertSameLogits,
  assertUndisturbed,
  check,
  decodeRecorded,
  openRecorded,
  prefillRecorded,
  runScript,
  type SuiteRunner,
  type SuiteScript,
} from './suite-run.ts'

export interface EngineSuiteOptions extends SuiteRunner {
  /** At least 40 token ids. Required. */
  readonly prompt: Int32Array
  /** At least 4 token ids that are decoded after the prompt. Required. */
  readonly decoded: Int32Array
}

/**
 * The contract of an engine as tests: policies that choose everything change no bit, invalid ones are set aside for the
 * full cache, hooks come in order with the views that the contract describes, and chunks, forks, rewinds and aborts leave
 * the rows as they should be. Made once; every test opens its own sequences on it.
 */
export function engineSuite(
  makeEngine: () => EngineUnderTest | Promise<EngineUnderTest>,
  options: EngineSuiteOptions,
): void {
  const { test, prompt, decoded } = options
  const script: SuiteScript = { prompt, decoded }
  let made: Promise<EngineUnderTest> | undefined
  const engineOf = () => (made ??= Promise.resolve(makeEngine()))
  const can = async (capability: string) => (await engineOf()).profile.capabilities.has(capability)

  test('gives the same bits however the prompt is cut into chunks', async () => {
    const engine = await engineOf()
    const whole = await runScript(engine, script)
    for (const chunkTokens of [3, 16, 37]) {
      const cut = await runScript(engine, { ...script, chunkTokens }, watchingPolicy([]))
      assertSameLogits(cut.logits, whole.logits, `chunks of ${chunkTokens}`)
    }
  })

  for (const scope of ['step', 'layer'] as const) {
    test(`gives the bits of no policy when everything is selected at scope ${scope}`, async () => {
      const engine = await engineOf()
      const full = await runScript(engine, script)
      const all = await runScript(
        engine,
        script,
        selecting(scope, () => ({ kind: 'all' })),
      )
      assertSameLogits(all.logits, full.logits, 'kind all')
      if (!(await can('select.runs'))) return
      const everything = selecting(scope, (step) => runsOf(engine, step, [{ start: 0, end: step.numTokens }]))
      const runs = await runScript(engine, script, everything)
      assertUndisturbed(runs)
      assertSameLogits(runs.logits, full.logits, 'runs of every row')
    })
  }

  test('reads no other rows than selected, alike at both scopes', async () => {
    if (!(await can('select.runs'))) return
    const engine = await engineOf()
    const few = (step: StepView) => runsOf(engine, step, sinksAndRecent(step.numTokens))
    const atStep = await runScript(engine, script, selecting('step', few))
    const atLayer = await runScript(engine, script, selecting('layer', few))
    const full = await runScript(engine, script)
    assertUndisturbed(atStep)
    assertSameLogits(atLayer.logits, atStep.logits, 'scope layer')
    assertSameLogits(atStep.logits.slice(0, 1), full.logits.slice(0, 1), 'the prompt')
    const differs = atStep.logits.at(-1)!.some((value, at) => value !== full.logits.at(-1)![at])
    check(differs, 'a selection of a few rows changed nothing')
  })

  test('evicts the rows that a plan names, and reads them nowhere', async () => {
    if (!(await can('retain.evict')) || !(await can('select.runs'))) return
    const engine = await engineOf()
    const gone = { start: 5, end: 29 }
    const evicting = probePolicy({ slots: ['retain'] }, () => ({
      retain: async ({ last }) => (last ? { evict: [gone] } : {}),
    }))
    const without = selecting('step', (step) => runsOf(engine, step, complementSpans([gone], step.numTokens)))
    const [evicted, skipped] = [await runScript(engine, script, evicting), await runScript(engine, script, without)]
    assertUndisturbed(evicted)
    assertSameLogits(evicted.logits, skipped.logits, 'evicted rows against rows never selected')
  })

  const faults: [string, (step: StepView, engine: EngineUnderTest) => unknown][] = [
    ['throws', () => failWith(new Error('planted'))],
    ['returns nothing', () => undefined],
    ['returns a promise', () => Promise.reject(new Error('planted'))],
    ['leaves the current token out', (step, engine) => runsOf(engine, step, [{ start: 0, end: step.numTokens - 1 }])],
    ['names rows that are not there', (step, engine) => runsOf(engine, step, [{ start: 0, end: step.numTokens + 1 }])],
    ['names a selector that nobody has', () => ({ kind: 'native', selector: { kind: 'none-such' } })],
  ]
  for (const [fault, select] of faults) {
    test(`sets a policy aside for the full cache when its select ${fault}`, async () => {
      const engine = await engineOf()
      const run = await runScript(
        engine,
        script,
        selecting('step', (step) => select(step, engine) as Selection),
      )
      check(run.events.length === 1 && run.events[0].hook === 'select', `${run.events.length} events were reported`)
      assertSameLogits(run.logits, (await runScript(engine, script)).logits, 'set aside')
    })
  }

  test('never downgrades a ScopeError', async () => {
    const engine = await engineOf()
    const error = new ScopeError({ parameter: 'probe', expected: 'its own scope', got: 'another' })
    const thrown = await runScript(
      engine,
      script,
      selecting('step', () => failWith(error)),
    ).catch((caught: unknown) => caught)
    check(thrown === error, 'the ScopeError did not reach the caller', thrown)
  })

  test('refuses a policy that it cannot serve with what bind throws', async () => {
    const engine = await engineOf()
    const error = new CapabilityError({ parameter: 'probe', expected: 'more', got: 'less' })
    const policy: CachePolicy = { ...selecting('step', () => ({ kind: 'all' })), bind: () => failWith(error) }
    const thrown = await openRecorded(engine, policy).catch((caught: unknown) => caught)
    check(thrown === error, 'the CapabilityError did not reach the caller', thrown)
  })

  test('calls the hooks in order, with views as the contract says', async () => {
    const engine = await engineOf()
    const seen: Seen[] = []
    await runScript(engine, { ...script, chunkTokens: 16 }, watchingPolicy(seen))
    checkPrefillViews(engine, seen, prompt)
    checkDecodeViews(engine, seen, prompt.length, decoded)
  })

  test('forks and rewinds rows together with the session', async () => {
    const engine = await engineOf()
    if (!(await can('kv.fork')) || !(await can('kv.rewind'))) return
    const policy = (await can('select.runs'))
      ? selecting('step', (step) => runsOf(engine, step, sinksAndRecent(step.numTokens)))
      : watchingPolicy([])
    const alone = await runScript(engine, script, policy)
    const record = await openRecorded(engine, policy)
    await prefillRecorded(record, script)
    const fork = { ...record, logits: [...record.logits], sequence: await record.sequence.fork() }
    await decodeRecorded(fork, decoded.slice().reverse())
    await fork.sequence.rewind(prompt.length)
    check(fork.sequence.numTokens === prompt.length, `${fork.sequence.numTokens} tokens are left after a rewind`)
    fork.logits.length = 1
    await decodeRecorded(record, decoded)
    await record.sequence[Symbol.asyncDispose]()
    await decodeRecorded(fork, decoded)
    await fork.sequence[Symbol.asyncDispose]()
    assertUndisturbed(record)
    assertSameLogits(record.logits, alone.logits, 'the origin')
    assertSameLogits(fork.logits, alone.logits, 'the fork, rewound')
  })

  test('stops on abort, and goes on from the rows that stand', async () => {
    const engine = await engineOf()
    const whole = await runScript(engine, script)
    const stop = new AbortController()
    const policy = probePolicy({ slots: ['retain'] }, () => ({
      async retain() {
        stop.abort()
        return {}
      },
    }))
    const record = await openRecorded(engine, policy)
    const { sequence } = record
    const abort = { chunkTokens: 16, signal: stop.signal }
    const thrown = await sequence.prefill(prompt, abort).catch((caught: unknown) => caught)
    check(thrown === stop.signal.reason, 'the prefill was not aborted with the reason of the signal', thrown)
    const { numTokens } = sequence
    check(numTokens < prompt.length, 'the whole prompt was read after the abort')
    await prefillRecorded(record, { prompt: prompt.slice(numTokens), decoded })
    await decodeRecorded(record, decoded)
    await sequence[Symbol.asyncDispose]()
    assertUndisturbed(record)
    assertSameLogits(record.logits, whole.logits, 'after an abort')
  })

  addHeadTests(engineOf, options)
  addAttentionTests(engineOf, options)
  addReuseTests(engineOf, options)

  test('disposes the session once, with the sequence', async () => {
    let disposals = 0
    const numDisposals = () => disposals
    const policy = probePolicy({ slots: [] }, () => ({
      async [Symbol.asyncDispose]() {
        disposals++
      },
    }))
    const { sequence } = await openRecorded(await engineOf(), policy)
    await sequence.prefill(prompt)
    check(numDisposals() === 0, 'the session was disposed before its sequence')
    await sequence[Symbol.asyncDispose]()
    await sequence[Symbol.asyncDispose]()
    check(numDisposals() === 1, `the session was disposed ${disposals} times`)
  })
}

function failWith(error: Error): never {
  throw error
}

function runsOf(engine: EngineUnderTest, step: StepView, spans: readonly Span[]): Selection {
  return { kind: 'runs', runs: runsOfSpans(spans, engine.profile.shape.layers[step.layer ?? 0].numKvHeads) }
}

function sinksAndRecent(numTokens: number): Span[] {
  return [
    { start: 0, end: 2 },
    { start: numTokens - 8, end: numTokens },
  ]
}

type Seen =
  | { hook: 'retain'; view: PrefillView }
  | { hook: 'select'; view: StepView }
  | { hook: 'append'; view: TokenView }

function watchingPolicy(seen: Seen[]): CachePolicy {
  return probePolicy({ slots: ['retain', 'select', 'append'], selectScope: 'layer' }, () => ({
    async retain(view) {
      seen.push({ hook: 'retain', view })
      return {}
    },
    select(view) {
      seen.push({ hook: 'select', view })
      return { kind: 'all' }
    },
    append(view) {
      seen.push({ hook: 'append', view })
    },
  }))
}

/** The chunks tile the prompt in order, and only the one that ends it is the last. */
function checkPrefillViews(engine: EngineUnderTest, seen: readonly Seen[], prompt: Int32Array): void {
  let at = 0
  for (const { hook, view } of seen) {
    if (hook !== 'retain') break
    const end = at + view.tokens.length
    check(view.start === at, `a chunk starts at ${view.start} where ${at} tokens were read`)
    check(
      view.tokens.every((token, i) => token === prompt[at + i]),
      `other tokens than the prompt's from ${at} on`,
    )
    check(view.pieces.length === view.tokens.length, `${view.pieces.length} pieces for ${view.tokens.length} tokens`)
    check(view.kv.numTokens === end, `${view.kv.numTokens} rows stand after token ${end}`)
    check(view.last === (end === prompt.length), `last is ${view.last} at ${end} of ${prompt.length}`)
    engine.profile.shape.layers.forEach(({ numKvHeads, headDim }, layer) => {
      for (const part of ['keys', 'values'] as const) {
        const rows = view.kv[part](layer, numKvHeads - 1, at, end)
        check(rows.length === (end - at) * headDim, `${rows.length} numbers for ${end - at} rows of ${headDim}`)
        check(
          rows.some((value) => value !== 0),
          `the ${part} of layer ${layer} are all zero`,
        )
      }
    })
    at = end
  }
  check(at === prompt.length, `retain saw ${at} of ${prompt.length} tokens before decoding`)
}

/** Each step: select at each layer from 0 up, then append. */
function checkDecodeViews(engine: EngineUnderTest, seen: readonly Seen[], start: number, decoded: Int32Array): void {
  const { layers } = engine.profile.shape
  const steps = seen.filter(({ hook }) => hook !== 'retain')
  check(steps.length === decoded.length * (layers.length + 1), `${steps.length} hooks in ${decoded.length} steps`)
  steps.forEach(({ hook, view }, at) => {
    const step = Math.floor(at / (layers.length + 1))
    const layer = at % (layers.length + 1)
    if (hook === 'select') {
      check(view.layer === layer, `layer ${view.layer} was asked where ${layer} was due`)
      check(view.numTokens === start + step + 1, `${view.numTokens} rows at step ${step}`)
      const width = layers[layer].numHeads * layers[layer].headDim
      check(view.queries?.length === width, `${view.queries?.length} query values, not ${width}`)
      const added = (steps[step * (layers.length + 1) + layers.length].view as TokenView).piece
      check(!/^[ -~]+$/.test(added) || view.piece === added, `the text ${view.piece} before ${added} at step ${step}`)
    } else if (hook === 'append') {
      check(layer === layers.length, `append came where layer ${layer} was due`)
      check(view.token === decoded[step], `token ${view.token} at step ${step}`)
      check(view.index === start + step, `index ${view.index} at step ${step}`)
      check(view.kv.numTokens === start + step + 1, `${view.kv.numTokens} rows stand after step ${step}`)
    }
  })
}
