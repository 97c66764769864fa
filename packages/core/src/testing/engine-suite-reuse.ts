import { ProvenanceError, ScopeError } from '../errors.ts'
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

/** An engine whose donor has the suite's prompt. */
interface Lent {
  readonly engine: EngineUnderTest
  readonly scope: Scope
  readonly donor: string
}

/** One of its own for each test: prefixes that an engine keeps must not help the next one. */
const newScope = (): Scope => {
  return { tenant: 'suite', group: `reuse-${crypto.randomUUID()}`, model: 'any', layout: 'any', policy: 'suite' }
}

/** What engines with `kv.adopt` and `kv.export` do with plans that borrow; skipped for the others. */
export function addReuseTests(engineOf: () => Promise<EngineUnderTest>, { test, prompt }: EngineSuiteOptions): void {
  const needs = whereCan(engineOf)
  const withDonor = (capability: string, body: (lent: Lent) => Promise<void>) =>
    needs(capability, async (engine) => {
      const scope = newScope()
      await body({ engine, scope, donor: await publish(engine, prompt, scope) })
    })
  const whole = (engine: EngineUnderTest, tokens = prompt) => prefillUnder(engine, tokens)
  const last = prompt.length - 1

  test(
    'borrows an exact prefix to the bit',
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const head = prompt.length - 7
      const plan = planOf([{ start: 0, end: head, donor, donorStart: 0 }], rowsFrom(head, prompt.length), exact)
      assertSameBits(await prefillUnder(engine, prompt, borrowing(plan), scope), await whole(engine), 'borrowed prefix')
    }),
  )

  test(
    'gives the bits of a full prefill when every borrowed row is computed again',
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const moved = Int32Array.from([...prompt.subarray(9), ...prompt.subarray(0, 9)])
      const end = prompt.length - 9
      const pieces = [{ start: 0, end, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(0, prompt.length), withLoss(exact, 'moved'))
      for (const policy of [borrowing(plan), borrowing(plan, ({ rows }) => rows)]) {
        assertSameBits(await prefillUnder(engine, moved, policy, scope), await whole(engine, moved), 'all computed')
      }
    }),
  )

  test(
    'turns moved keys to their positions, unless they are to stay as stored',
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const tokens = prompt.subarray(9)
      const pieces = [{ start: 0, end: tokens.length, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(tokens.length - 1, tokens.length), withLoss(exact, 'moved'))
      const full = await keysOfFirstLayer(engine, tokens, newScope())
      const moved = await keysOfFirstLayer(engine, tokens, scope, plan)
      const stored = await keysOfFirstLayer(engine, tokens, scope, { ...plan, keys: 'stored' })
      const rows = full.length - engine.profile.shape.layers[0].headDim
      // Keys of the first layer depend on token and position alone.
      check(nmse(moved.subarray(0, rows), full.subarray(0, rows)) < 1e-6, 'moved keys are those of a full prefill')
      check(nmse(stored.subarray(0, rows), full.subarray(0, rows)) > 1e-3, 'stored keys keep their rotation')
    }),
  )

  test(
    'tells how far borrowed rows were off, and computes nested rows only',
    withDonor('prefill.partial-rows', async ({ engine, scope, donor }) => {
      const pieces = [{ start: 0, end: last, donor, donorStart: 0 }]
      const reports: LayerReport[] = []
      const policy = borrowing(planOf(pieces, rowsFrom(3, prompt.length), exact), (report) => {
        reports.push(report)
        return { rows: report.rows.rows.slice(-Math.max(1, report.rows.rows.length >> 1)) }
      })
      await prefillUnder(engine, prompt, policy, scope)
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
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const full = await whole(engine)
      const rows = rowsFrom(last, prompt.length)
      const gone = planOf([{ start: 0, end: last, donor: 'nobody', donorStart: 0 }], rows, exact)
      assertSameBits(await prefillUnder(engine, prompt, borrowing(gone), scope), full, 'donor gone')
      const long = planOf([{ start: 0, end: last, donor, donorStart: 5 }], rows, withLoss(exact, 'moved'))
      assertSameBits(await prefillUnder(engine, prompt, borrowing(long), scope), full, 'more rows than the donor has')
      const there = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rows, exact)
      const givingUp = borrowing(there, () => ({ kind: 'decline', reason: 'too far off' }))
      assertSameBits(await prefillUnder(engine, prompt, givingUp, scope), full, 'given up')
    }),
  )

  test(
    'calls nothing exact that was lent under other tokens',
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const other = prompt.slice()
      other[4] = other[4] === 1 ? 2 : 1
      const plan = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rowsFrom(last, prompt.length), exact)
      assertSameBits(
        await prefillUnder(engine, other, borrowing(plan), scope),
        await whole(engine, other),
        'other tokens',
      )
    }),
  )

  test(
    'never lends to another scope',
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const plan = planOf([{ start: 0, end: last, donor, donorStart: 0 }], rowsFrom(last, prompt.length), exact)
      const strangers = [{ ...scope, tenant: 'other' }, { ...scope, group: 'other' }, undefined]
      for (const stranger of strangers) {
        const error = await failureOf(prefillUnder(engine, prompt, borrowing(plan), stranger))
        check(error instanceof ScopeError, 'a ScopeError', error)
      }
    }),
  )

  test(
    'publishes no row that is not exact',
    withDonor('kv.export', async ({ engine, scope, donor }) => {
      const tokens = prompt.subarray(9)
      const pieces = [{ start: 0, end: tokens.length - 1, donor, donorStart: 9 }]
      const plan = planOf(pieces, rowsFrom(tokens.length - 1, tokens.length), withLoss(exact, 'moved'))
      const { reuse } = borrowing(plan).open({} as never)
      const policy = probePolicy({ slots: ['reuse', 'publish'] }, () => ({
        ...(reuse && { reuse }),
        ...publishing(scope),
      }))
      const sequence = await engine.createSequence({ policy, scope })
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
    withDonor('kv.adopt', async ({ engine, scope, donor }) => {
      const tokens = prompt.slice(9)
      const pieces = [{ start: 0, end: tokens.length - 1, donor, donorStart: 9 }]
      const abort = new AbortController()
      const policy = borrowing(planOf(pieces, rowsFrom(0, tokens.length), withLoss(exact, 'moved')), ({ rows }) => {
        abort.abort(new Error('enough'))
        return rows
      })
      const sequence = await engine.createSequence({ policy, scope })
      try {
        const error = await failureOf(sequence.prefill(tokens, { signal: abort.signal }))
        check(error === abort.signal.reason, 'the reason of the abort', error)
        check(sequence.numTokens === 0, 'no row stands')
        assertSameBits(await sequence.prefill(tokens), await whole(engine, tokens), 'after the abort')
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

/** Carries one plan out, whatever the prompt; rows that stand need no computing. */
function borrowing(plan: ReusePlan, recompute?: PolicySession['recompute']): CachePolicy {
  return probePolicy({ slots: recompute ? ['reuse', 'recompute'] : ['reuse'] }, () => ({
    reuse: async ({ standingTokens = 0 }) => {
      const rows = plan.recompute.rows.filter((row) => row >= standingTokens)
      return { ...plan, recompute: { rows } }
    },
    ...(recompute && { recompute }),
  }))
}

/** Everything that stands. */
function publishing(scope: Scope): Pick<PolicySession, 'publish'> {
  return { publish: ({ tokens }) => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }) }
}

async function publish(engine: EngineUnderTest, tokens: Int32Array, scope: Scope): Promise<string> {
  const policy = probePolicy({ slots: ['publish'] }, () => publishing(scope))
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

/** Without a scope: in one that is private to the sequence. */
async function prefillUnder(
  engine: EngineUnderTest,
  tokens: Int32Array,
  policy?: CachePolicy,
  scope?: Scope,
): Promise<Float32Array> {
  const sequence: SequenceUnderTest = await engine.createSequence({
    ...(policy && { policy }),
    ...(scope && { scope }),
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
  scope: Scope,
  plan?: ReusePlan,
): Promise<Float32Array> {
  let keys = new Float32Array(0)
  const policy = probePolicy({ slots: plan ? ['reuse', 'retain'] : ['retain'] }, () => ({
    ...(plan && { reuse: async () => plan }),
    retain: async ({ kv }) => {
      keys = kv.keys(0, 0, 0, tokens.length) as Float32Array<ArrayBuffer>
      return {}
    },
  }))
  await prefillUnder(engine, tokens, policy, scope)
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
