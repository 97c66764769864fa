import type { SequenceContext } from './engine-profile.ts'
import { CapabilityError, ProvenanceError, ScopeError } from './errors.ts'
import { checkKeys, checkNumber } from './options.ts'
import type { Decline, PlacePlan, PublishPlan, RetainPlan, ReusePlan, RowSet, Selection } from './plans.ts'
import type { CachePolicy, PolicyCounts, PolicySession, Slot } from './policy.ts'
import { exact } from './provenance.ts'
import { requireCapabilities } from './require-capabilities.ts'
import { type RunList, runsOfSpans, runsWithoutSpans } from './run-list.ts'
import type { Span } from './segment.ts'
import { complementSpans } from './spans.ts'
import {
  uncoveredRows,
  validatePlacePlan,
  validatePublishPlan,
  validateRetainPlan,
  validateReusePlan,
  validateRowSet,
  validateSelection,
} from './validate-plan.ts'
import type {
  LayerReport,
  PrefillView,
  PressureView,
  PromptView,
  ReuseAudit,
  SequenceView,
  StepView,
  TokenView,
} from './views.ts'

/** Why a session was set aside; reported once a session. */
export interface QuarantineEvent {
  readonly policy: string
  readonly sequence: string
  readonly hook: Slot | 'open' | 'fork' | 'rewind' | 'audit' | 'counts' | 'dispose'
  readonly error: unknown
}

export interface GuardOptions {
  /** Called once, when the session is set aside. Required. */
  readonly onQuarantine: (event: QuarantineEvent) => void
  /** How long a call of reuse, retain or append may take before it counts as failed. @default 120000 */
  readonly hookTimeoutMs?: number
  /** Tiers that placements may name. @default [] */
  readonly tiers?: readonly string[]
}

/** A session that always answers, and always validly: engines call every hook and check nothing themselves. */
export interface GuardedSession extends Required<Omit<PolicySession, 'fork'>> {
  readonly quarantined: boolean
  /** Throws a CapabilityError if the policy cannot be forked. */
  fork(sequence: SequenceContext): GuardedSession
}

/**
 * Binds the policy and opens a session behind a guard. A hook that throws, hangs or returns an invalid plan quarantines
 * the session: from then on it answers as the full cache would, over the rows that are still held. A hook that the
 * policy does not name in its effects is answered likewise. Selections come back without evicted rows.
 * Throws what `bind` throws. A ScopeError or ProvenanceError is never downgraded: it is thrown on. So is the error of a
 * hook whose view's signal was aborted; if the sequence goes on after it, the session is set aside.
 */
export function openGuarded(policy: CachePolicy, sequence: SequenceContext, options: GuardOptions): GuardedSession {
  checkKeys('openGuarded', options, ['onQuarantine', 'hookTimeoutMs', 'tiers'])
  policy.bind(sequence.profile)
  checkStepScope(policy, sequence)
  if (policy.effects.observes) requireCapabilities(policy.name, sequence.profile, ['observe.attention-mass'])
  const resolved = {
    onQuarantine: options.onQuarantine,
    hookTimeoutMs: checkNumber('hookTimeoutMs', options.hookTimeoutMs ?? 120_000, 1, 2 ** 31 - 1),
    tiers: options.tiers ?? [],
  }
  const guard = new Guard(policy, sequence, resolved)
  guard.start('open', () => policy.open(sequence))
  return guard
}

/** A list of scope `step` has one row a KV head and serves every layer. */
function checkStepScope(policy: CachePolicy, { profile }: SequenceContext): void {
  const heads = profile.shape.layers.map(({ numKvHeads }) => numKvHeads)
  if (policy.effects.selectScope !== 'step' || heads.every((count) => count === heads[0])) return
  throw new CapabilityError({
    parameter: `${policy.name}.effects.selectScope`,
    expected: 'layer, for layers that differ in numKvHeads',
    got: 'step',
    remedy: 'Select at scope layer.',
  })
}

class Guard implements GuardedSession {
  readonly #policy: CachePolicy
  readonly #sequence: SequenceContext
  readonly #options: Required<GuardOptions>
  #inner: PolicySession | null = null
  #quarantined = false
  #numTokens = 0
  /** A hook that was aborted midway left its state unknown: the session is set aside if it is asked again. */
  #interrupted: { hook: Slot; error: unknown } | null = null
  /** Rows that a partial prefill must compute at every layer. */
  #uncovered: RowSet = { rows: new Int32Array(0) }
  /** The list of held rows, as it was last asked for. */
  #held: { evicted: readonly Span[]; numTokens: number; numKvHeads: number; runs: RunList } | null = null

  constructor(policy: CachePolicy, sequence: SequenceContext, options: Required<GuardOptions>) {
    this.#policy = policy
    this.#sequence = sequence
    this.#options = options
  }

  start(hook: 'open' | 'fork', open: () => PolicySession): void {
    try {
      this.#inner = open()
    } catch (error) {
      this.#quarantine(hook, error)
    }
  }

  get quarantined(): boolean {
    return this.#quarantined
  }

  reuse(prompt: PromptView): Promise<ReusePlan | Decline> {
    const decline: Decline = { kind: 'decline', reason: 'no policy offers reuse' }
    return this.#ask('reuse', decline, prompt.signal, async (inner) => {
      const plan = await inner.reuse!(prompt)
      if (plan?.kind === 'decline') return plan
      const numTokens = prompt.tokens.length
      const { standingTokens = 0 } = prompt
      validateReusePlan(plan, { numTokens, standingTokens })
      this.#uncovered = uncoveredRows(plan.pieces, numTokens, standingTokens)
      return plan
    })
  }

  recompute(report: LayerReport): RowSet | Decline {
    return this.#answer<RowSet | Decline>('recompute', report.rows, (inner) => {
      const rows = keepSync(inner.recompute!(report))
      if (isDecline(rows)) return rows
      const mustHold = this.#uncovered
      validateRowSet(rows, { numTokens: Number.MAX_SAFE_INTEGER, within: report.rows, mustHold })
      return rows
    })
  }

  retain(view: PrefillView): Promise<RetainPlan> {
    this.#numTokens = view.kv.numTokens
    return this.#ask('retain', {}, view.signal, async (inner) => {
      const plan = await inner.retain!(view)
      const { shape, capabilities } = this.#sequence.profile
      validateRetainPlan(plan, { numTokens: view.kv.numTokens, shape, capabilities })
      return plan
    })
  }

  select(step: StepView): Selection {
    this.#numTokens = step.numTokens
    const { shape, capabilities } = this.#sequence.profile
    const { numKvHeads, numHeads } = shape.layers[step.layer ?? 0]
    const gone = step.kv.evicted ?? []
    const chosen = this.#answer<Selection>('select', { kind: 'all' }, (inner) => {
      const selection = keepSync(inner.select!(step))
      const { numTokens } = step
      validateSelection(selection, { numTokens, numKvHeads, numHeads, capabilities, evicted: gone })
      return selection
    })
    if (gone.length === 0 || chosen.kind === 'native') return chosen
    if (chosen.kind === 'runs') return { ...chosen, runs: runsWithoutSpans(chosen.runs, () => gone) }
    return { kind: 'runs', runs: this.#heldRuns(gone, step.numTokens, numKvHeads) }
  }

  append(token: TokenView): Promise<void> {
    this.#numTokens = token.index + 1
    return this.#ask('append', undefined, token.signal, async (inner) => inner.append!(token))
  }

  place(pressure: PressureView): PlacePlan {
    return this.#answer<PlacePlan>('place', { moves: [], reason: 'no policy places' }, (inner) => {
      const plan = keepSync(inner.place!(pressure))
      validatePlacePlan(plan, { numTokens: this.#numTokens, tiers: this.#options.tiers })
      return plan
    })
  }

  publish(done: SequenceView): PublishPlan {
    const { scope } = this.#sequence
    return this.#answer<PublishPlan>('publish', { spans: [], scope, provenance: exact }, (inner) => {
      const plan = keepSync(inner.publish!(done))
      const evicted = done.kv.evicted ?? []
      validatePublishPlan(plan, { numTokens: done.tokens.length, scope, evicted })
      return plan
    })
  }

  fork(sequence: SequenceContext): GuardedSession {
    const inner = this.#usable()
    const child = new Guard(this.#policy, sequence, this.#options)
    child.#numTokens = this.#numTokens
    child.#quarantined = this.#quarantined
    if (inner === null) return child
    if (inner.fork === undefined) throw this.#cannot('fork')
    child.start('fork', () => inner.fork!(sequence))
    return child
  }

  rewind(numTokens: number): void {
    const inner = this.#usable()
    if (inner !== null && inner.rewind === undefined) throw this.#cannot('rewind')
    this.#numTokens = numTokens
    this.#attempt('rewind', undefined, (inner) => inner.rewind!(numTokens))
  }

  audit(audit: ReuseAudit): void {
    this.#attempt('audit', undefined, (inner) => inner.audit?.(audit))
  }

  counts(): PolicyCounts {
    const none = { steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 }
    return this.#interrupted ? none : this.#attempt('counts', none, (inner) => inner.counts?.() ?? none)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const inner = this.#inner
    this.#inner = null
    try {
      await inner?.[Symbol.asyncDispose]()
    } catch (error) {
      this.#quarantine('dispose', error)
    }
  }

  /** What the hook answers; the fallback if the policy has no such hook, or once it failed. */
  #answer<T>(hook: Slot, fallback: T, run: (inner: PolicySession) => T): T {
    return this.#policy.effects.slots.includes(hook) ? this.#attempt(hook, fallback, run) : fallback
  }

  #attempt<T>(hook: QuarantineEvent['hook'], fallback: T, run: (inner: PolicySession) => T): T {
    const inner = this.#usable()
    if (inner === null) return fallback
    try {
      return run(inner)
    } catch (error) {
      this.#quarantine(hook, error)
      return fallback
    }
  }

  /** `#answer` of a hook that may take its time. */
  async #ask<T>(
    hook: Slot,
    fallback: T,
    signal: AbortSignal | undefined,
    run: (inner: PolicySession) => Promise<T>,
  ): Promise<T> {
    const inner = this.#usable()
    if (inner === null || !this.#policy.effects.slots.includes(hook)) return fallback
    try {
      return await withDeadline(run(inner), this.#options.hookTimeoutMs)
    } catch (error) {
      if (signal?.aborted) {
        this.#interrupted = { hook, error }
        throw error
      }
      this.#quarantine(hook, error)
      return fallback
    }
  }

  /** The session, unless it was or now is set aside, or disposed. */
  #usable(): PolicySession | null {
    if (this.#interrupted !== null) this.#quarantine(this.#interrupted.hook, this.#interrupted.error)
    return this.#quarantined ? null : this.#inner
  }

  #quarantine(hook: QuarantineEvent['hook'], error: unknown): void {
    if (error instanceof ScopeError || error instanceof ProvenanceError) throw error
    if (this.#quarantined) return
    this.#quarantined = true
    this.#options.onQuarantine({ policy: this.#policy.name, sequence: this.#sequence.id, hook, error })
  }

  #heldRuns(evicted: readonly Span[], numTokens: number, numKvHeads: number): RunList {
    const last = this.#held
    if (last?.evicted === evicted && last.numTokens === numTokens && last.numKvHeads === numKvHeads) return last.runs
    const runs = runsOfSpans(complementSpans(evicted, numTokens), numKvHeads)
    this.#held = { evicted, numTokens, numKvHeads, runs }
    return runs
  }

  #cannot(hook: 'fork' | 'rewind'): CapabilityError {
    return new CapabilityError({
      parameter: `${this.#policy.name}.${hook}`,
      expected: `a session with ${hook}`,
      got: 'none',
      remedy: `Give its sessions a ${hook} hook, or start a new sequence.`,
    })
  }
}

function isDecline(answer: RowSet | Decline): answer is Decline {
  return (answer as Decline | null)?.kind === 'decline'
}

/** The answer of a hook that must not be a promise. A promise is silenced, so that its rejection cannot end the process. */
function keepSync<T>(answer: T): T {
  if (answer instanceof Promise) answer.catch(() => {})
  return answer
}

async function withDeadline<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
