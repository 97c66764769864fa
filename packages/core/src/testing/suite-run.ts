import type { QuarantineEvent } from '../guard.ts'
import type { RetainPlan, Selection } from '../plans.ts'
import type { CachePolicy } from '../policy.ts'
import { assertSameBits } from './close.ts'
import type { EngineUnderTest, SequenceUnderTest } from './engine-under-test.ts'
import { watchPolicy } from './probe-policy.ts'

/** The two functions of a test runner; vitest's, jest's and node:test's all fit. */
export interface SuiteRunner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly test: (name: string, body: () => Promise<void>) => unknown
}

/** What was seen of one sequence, in order. */
export interface SuiteRecord {
  readonly sequence: SequenceUnderTest
  readonly selections: Selection[]
  readonly evictions: RetainPlan[]
  readonly events: QuarantineEvent[]
  /** After the prompt, then after each decoded token. */
  readonly logits: Float32Array[]
}

export interface SuiteScript {
  readonly prompt: Int32Array
  readonly chunkTokens?: number
  /** Tokens that are decoded after the prompt, whatever the logits say. */
  readonly decoded: Int32Array
}

/** Opens a sequence whose plans and events are recorded. */
export async function openRecorded(engine: EngineUnderTest, policy?: CachePolicy): Promise<SuiteRecord> {
  const selections: Selection[] = []
  const evictions: RetainPlan[] = []
  const events: QuarantineEvent[] = []
  const watched =
    policy &&
    watchPolicy(policy, {
      after(hook, _, answer) {
        if (hook === 'select') selections.push(answer as Selection)
        if (hook === 'retain') (answer as Promise<RetainPlan>).then((plan) => evictions.push(plan)).catch(() => {})
      },
    })
  const onQuarantine = (event: QuarantineEvent) => events.push(event)
  const sequence = await engine.createSequence({ ...(watched && { policy: watched }), onQuarantine })
  return { sequence, selections, evictions, events, logits: [] }
}

export async function prefillRecorded(record: SuiteRecord, script: SuiteScript): Promise<void> {
  const { prompt, chunkTokens } = script
  record.logits.push(await record.sequence.prefill(prompt, chunkTokens === undefined ? {} : { chunkTokens }))
}

export async function decodeRecorded(record: SuiteRecord, tokens: ArrayLike<number>): Promise<void> {
  for (const token of Array.from(tokens)) record.logits.push(await record.sequence.decode(token))
}

/** Runs a whole script and closes the sequence. */
export async function runScript(
  engine: EngineUnderTest,
  script: SuiteScript,
  policy?: CachePolicy,
): Promise<SuiteRecord> {
  const record = await openRecorded(engine, policy)
  try {
    await prefillRecorded(record, script)
    await decodeRecorded(record, script.decoded)
  } finally {
    await record.sequence[Symbol.asyncDispose]()
  }
  return record
}

/** Throws unless both saw the same plans and the same bits. */
export function assertSameRun(actual: SuiteRecord, expected: SuiteRecord, what: string): void {
  check(describePlans(actual.selections) === describePlans(expected.selections), `${what}: other rows were selected`)
  assertSameLogits(actual.logits, expected.logits, what)
}

export function assertSameLogits(
  actual: readonly Float32Array[],
  expected: readonly Float32Array[],
  what: string,
): void {
  check(actual.length === expected.length, `${what}: ${actual.length} logits against ${expected.length}`)
  for (const [at, logits] of actual.entries()) assertSameBits(logits, expected[at], `${what}: logits ${at}`)
}

/** Throws unless no session was set aside. */
export function assertUndisturbed({ events }: SuiteRecord): void {
  const [event] = events
  check(event === undefined, `${event?.policy} was quarantined in ${event?.hook}`, event?.error)
}

/** Makes test bodies that run where the engine has a capability, and do nothing where it lacks it. */
export function whereCan(engineOf: () => Promise<EngineUnderTest>) {
  return (capability: string, body: (engine: EngineUnderTest) => Promise<void>) => async (): Promise<void> => {
    const engine = await engineOf()
    if (engine.profile.capabilities.has(capability)) await body(engine)
  }
}

export function check(holds: boolean, message: string, cause?: unknown): asserts holds {
  if (!holds) throw new Error(cause instanceof Error ? `${message}: ${cause.message}` : message, { cause })
}

/** Native selectors are opaque: their kind is all that is compared. */
function describePlans(selections: readonly Selection[]): string {
  return JSON.stringify(
    selections.map((selection) => {
      if (selection.kind !== 'runs') return selection.kind
      return [Array.from(selection.runs.rowStarts), Array.from(selection.runs.runs)]
    }),
  )
}
