import { IntegrityError, ProvenanceError, ScopeError } from '../errors.ts'
import type { ReusePlan } from '../plans.ts'
import type { CachePolicy, PolicySession } from '../policy.ts'
import { exact, withLoss } from '../provenance.ts'
import type { Scope } from '../scope.ts'
import type { LayerReport } from '../views.ts'
import { assertSameBits, nmse } from './close.ts'
import type { EngineSuiteOptions } from './engine-suite.ts'
import type { EngineUnderTest, SequenceUnderTest } from './engine-under-test.ts'
import { probePolicy } from './probe-policy.ts'
import { check, whereCan } from './suite-run.ts'

const scope: Scope = { tenant: 'suite', group: 'reuse', model: 'any', layout: 'any', policy: 'suite' }

/** What engines with `kv.adopt` and `kv.export` do with plans that borrow; skipped for the others. */
export function addReuseTests(engineOf: () => Promise<EngineUnderTest>, { test, prompt }: EngineSuiteOptions): void {
  const needs = whereCan(engineOf)
  const whole = (engine: EngineUnderTest, tokens = prompt) => prefillUnder(engine, undefined, tokens)
  const last = prompt.length - 1

  test(
    'borrows an exact prefix to the bit',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const head = prompt.length - 7
      const plan = planOf([{ start: 0, end: head, donor, donorStart: 0 }], rowsFrom(head, prompt.length), exact)
      assertSameBits(await prefillUnder(engine, borrowing(plan), prompt), await whole(engine), 'borrowed prefix')
    }),
  )

  test(
    'gives the bits of a full prefill when every borrowed row is computed again',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const moved = Int32Array.from([...prompt.subarray(9), ...prompt.subarray(0, 9)])
      const end = prompt.length - 9
      const pieces = [{ start: 0, end, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(0, prompt.length), withLoss(exact, 'moved'))
      for (const policy of [borrowing(plan), borrowing(plan, ({ rows }) => rows)]) {
        assertSameBits(await prefillUnder(engine, policy, moved), await whole(engine, moved), 'all computed')
      }
    }),
  )

  test(
    'turns moved keys to their positions, unless they are to stay as stored',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const tokens = prompt.subarray(9)
      const pieces = [{ start: 0, end: tokens.length, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(tokens.length - 1, tokens.length), withLoss(exact, 'moved'))
      const full = await keysOfFirstLayer(engine, tokens, undefined)
      const moved = await keysOfFirstLayer(engine, tokens, plan)
      const stored = await keysOfFirstLayer(engine, tokens, { ...plan, keys: 'stored' })
      const rows = full.length - engine.profile.shape.layers[0].headDim
      // Keys of the first layer depend on token and position alone.
      check(nmse(moved.subarray(0, rows), full.subarray(0, rows)) < 1e-6, 'moved keys are those of a full prefill')
      check(nmse(stored.subarray(0, rows), full.subarray(0, rows)) > 1e-3, 'stored keys keep their rotation')
    }),
  )

  test(
    'tells how far borrowed rows were off, and computes nested rows only',
    needs('prefill.partial-rows', async (engine) => {
      const donor = await publish(engine, prompt)
      const pieces = [{ start: 0, end: last, donor, donorStart: 0 }]
      const reports: LayerReport[] = []
      const policy = borrowing(planOf(pieces, rowsFrom(3, prompt.length), exact), (report) => {
        reports.push(report)
        return { rows: report.rows.rows.slice(-Math.max(1, report.rows.rows.length >> 1)) }
      })
      await prefillUnder(engine, policy, prompt)
      check(reports.length === engine.profile.shape.layers.length - 1, 'one report a layer but the last')
      reports.forEach(({ layer, rows: { rows }, distances, deviations }, at) => {
        check(layer === at && rows.at(-1) === last, 'reports come in order and end with the last row')
        check(distances.at(-1) === Number.POSITIVE_INFINITY, 'nobody lent the last row')
        const lent = deviations.slice(0, -1)
        check(lent.every((value) => value < 1e-3) && lent.length === rows.length - 1, 'rows lent exactly are not off')
      })
      const sizes = reports.map(({ rows }) => rows.rows.length)
      check(
        sizes.every((size, at) => at === 0 || size <= sizes[at - 1]),
        'row sets are nested',
      )
    }),
  )

  test(
    'computes the prompt in full where the donor is gone or the session gives up',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const full = await whole(engine)
      const rows = rowsFrom(last, prompt.length)
      const gone = planOf([{ start: 0, end: last, donor: 'nobody', donorStart: 0 }], rows, exact)
      assertSameBits(await prefillUnder(engine, borrowing(gone), prompt), full, 'donor gone')
      const long = planOf([{ start: 0, end: last, donor, donorStart: 5 }], rows, withLoss(exact, 'moved'))
      assertSameBits(await prefillUnder(engine, borrowing(long), prompt), full, 'more rows than the donor has')
      const there = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rows, exact)
      const givingUp = borrowing(there, () => ({ kind: 'decline', reason: 'too far off' }))
      assertSameBits(await prefillUnder(engine, givingUp, prompt), full, 'given up')
    }),
  )

  test(
    'calls nothing exact that was lent under other tokens',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const other = prompt.slice()
      other[4] = other[4] === 1 ? 2 : 1
      const plan = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rowsFrom(last, prompt.length), exact)
      assertSameBits(await prefillUnder(engine, borrowing(plan), other), await whole(engine, other), 'other tokens')
    }),
  )

  test(
    'never lends to another scope',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const plan = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rowsFrom(last, prompt.length), exact)
      const strangers = [{ ...scope, tenant: 'other' }, { ...scope, group: 'other' }, null]
      for (const stranger of strangers) {
        const error = await failureOf(prefillUnder(engine, borrowing(plan), prompt, stranger))
        check(error instanceof ScopeError, 'a ScopeError', error)
      }
    }),
  )

  test(
    'publishes no row that is not exact',
    needs('kv.export', async (engine) => {
      const donor = await publish(engine, prompt)
      const tokens = prompt.subarray(9)
      const pieces = [{ start: 0, end: tokens.length - 1, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(tokens.length - 1, tokens.length), withLoss(exact, 'moved'))
      const sequence = await engine.createSequence({ policy: borrowing(plan), scope })
      try {
        await sequence.prefill(tokens)
        const error = await failureOf(Promise.resolve(sequence.publish?.()))
        check(error instanceof ProvenanceError, 'a ProvenanceError', error)
      } finally {
        await sequence[Symbol.asyncDispose]()
      }
    }),
  )

  test(
    'stops a borrowing prefill when it is aborted, and starts anew after it',
    needs('kv.adopt', async (engine) => {
      const donor = await publish(engine, prompt)
      const pieces = [{ start: 0, end: last, donor, donorStart: 0 }]
      const abort = new AbortController()
      const policy = borrowing(planOf(pieces, rowsFrom(0, prompt.length), exact), ({ rows }) => {
        abort.abort(new IntegrityError({ parameter: 'test', expected: 'an abort', got: 'none' }))
        return rows
      })
      const sequence = await engine.createSequence({ policy, scope })
      try {
        const error = await failureOf(sequence.prefill(prompt, { signal: abort.signal }))
        check(error === abort.signal.reason, 'the reason of the abort', error)
        check(sequence.numTokens === 0, 'no row stands')
        assertSameBits(await sequence.prefill(prompt), await whole(engine), 'after the abort')
      } finally {
        await sequence[Symbol.asyncDispose]()
      }
    }),
  )
}

function planOf(pieces: ReusePlan['pieces'], rows: Int32Array, provenance: ReusePlan['provenance']): ReusePlan {
  return { kind: 'reuse', pieces, recompute: { rows }, provenance, reason: 'suite' }
}

function rowsFrom(start: number, end: number): Int32Array {
  return Int32Array.from({ length: end - start }, (_, i) => start + i)
}

/** Carries one plan out, whatever the prompt, and publishes what was prefilled. */
function borrowing(plan: ReusePlan, recompute?: PolicySession['recompute']): CachePolicy {
  return probePolicy({ slots: ['reuse', 'publish', ...(recompute ? (['recompute'] as const) : [])] }, () => ({
    reuse: async () => plan,
    ...(recompute && { recompute }),
    publish: ({ tokens }) => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
  }))
}

async function publish(engine: EngineUnderTest, tokens: Int32Array): Promise<string> {
  const policy = probePolicy({ slots: ['publish'] }, () => ({
    publish: () => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
  }))
  const sequence = await engine.createSequence({ policy, scope })
  try {
    await sequence.prefill(tokens)
    const id = await sequence.publish?.()
    check(typeof id === 'string', 'publish gives the id of a donor')
    return id
  } finally {
    await sequence[Symbol.asyncDispose]()
  }
}

/** No scope: one private to the sequence, so that no prefix is shared with the full prefills either. */
async function prefillUnder(
  engine: EngineUnderTest,
  policy: CachePolicy | undefined,
  tokens: Int32Array,
  under: Scope | null = policy ? scope : null,
): Promise<Float32Array> {
  const sequence: SequenceUnderTest = await engine.createSequence({
    ...(policy && { policy }),
    ...(under && { scope: under }),
  })
  try {
    return await sequence.prefill(tokens)
  } finally {
    await sequence[Symbol.asyncDispose]()
  }
}

/** [tokens][headDim] of KV head 0 at layer 0. */
async function keysOfFirstLayer(
  engine: EngineUnderTest,
  tokens: Int32Array,
  plan: ReusePlan | undefined,
): Promise<Float32Array> {
  let keys = new Float32Array(0)
  const policy = probePolicy({ slots: plan ? ['reuse', 'retain'] : ['retain'] }, () => ({
    ...(plan && { reuse: async () => plan }),
    retain: async ({ kv }) => {
      keys = kv.keys(0, 0, 0, tokens.length) as Float32Array<ArrayBuffer>
      return {}
    },
  }))
  await prefillUnder(engine, policy, tokens)
  return keys
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work
    return undefined
  } catch (error) {
    return error
  }
}
