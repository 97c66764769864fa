import { type CachePolicy, type DonorKv, exact, type Scope } from '@kvasir/core'
import { type CaseHooks, type CaseResult, keyOf } from '../case-run.ts'
import { argMax, median } from '../metrics.ts'
import type { Arm } from '../policy-spec.ts'
import { type CaseDonors, type LendingStore, zeroedDonor } from './case-donors.ts'
import { exactShare } from './exact-share.ts'
import { frontMark, type PairCase, type PairPrompt } from './pair-case.ts'
import type { PairEngine, PairSequence, ReuseOutcome } from './pair-engine.ts'
import { compareAlong, type Fidelity, type FullReply, writeFullReply, writeOwnReply } from './reply-fidelity.ts'
import { answerMargin, type FactTokens, factTokens, followedFact } from './swapped-fact.ts'

/** Where pairs run. */
export interface PairBench<Library extends LendingStore> {
  readonly engine: PairEngine
  /** The engine's store. */
  readonly donors: CaseDonors<Library>
  /** The policy of an arm, each time afresh. */
  readonly policyOf: (arm: Arm, library: Library) => CachePolicy
}

export interface PairOptions {
  /** Rounds in which the full recompute and every arm read the target once; times are medians. @default 1 */
  readonly rounds?: number
  /** One round more goes first and is not counted. @default false */
  readonly warmUp?: boolean
  /** Most tokens of the reply; 0: none, times alone. @default 64 */
  readonly replyTokens?: number
}

/** What one arm, or the full recompute, took to the first token. */
interface Times {
  readonly ttftMs: number[]
  readonly prefillMs: number[]
}

/** The same of an arm, and how it read the target. */
interface ArmReading extends Times {
  fidelity?: Fidelity
  /** Its own, about a swapped fact. */
  reply?: readonly number[]
  reuse: ReuseOutcome | null
}

const swapReplyTokens = 12

/** What became of a pair. */
interface PairReading {
  readonly tokens: Int32Array
  readonly donorTokens: Int32Array
  readonly full: Times
  readonly arms: readonly ArmReading[]
  /** Null where no reply was asked for. */
  readonly reply: FullReply | null
  readonly fact: FactTokens | null
}

/** A result an arm: times, what was computed, and fidelity along the reply of the full recompute. */
export async function runPairCase<Library extends LendingStore>(
  bench: PairBench<Library>,
  pair: PairCase,
  arms: readonly Arm[],
  hooks: CaseHooks = {},
  options: PairOptions = {},
): Promise<CaseResult[]> {
  const { engine } = bench
  const reading = await readPair(bench, pair, arms, hooks, options)
  const { tokens, donorTokens, full, reply, fact } = reading
  return arms.map((arm, at) => ({
    ...keyOf(pair, arm),
    ...{ kind: pair.kind, variant: pair.variant },
    ...{ targetTokens: tokens.length, donorTokens: donorTokens.length },
    exactShare: exactShare(tokens, donorTokens),
    ...reuseFields(reading.arms[at].reuse),
    ...timeFields(reading.arms[at], full),
    ...fidelityFields(reading.arms[at].fidelity as Fidelity, reply as FullReply),
    ...(fact && factFields(engine, pair, fact, reading.arms[at], reply as FullReply)),
  }))
}

/**
 * The donor is read and published; then the full recompute and each arm read the target in turns, each from its text to its
 * first token and in a scope of its own. In the first round the full recompute writes its reply, along which the arms are
 * compared.
 */
export async function readPair<Library extends LendingStore>(
  { engine, donors, policyOf }: PairBench<Library>,
  pair: PairCase,
  arms: readonly Arm[],
  { onStep, signal }: CaseHooks = {},
  { rounds = 1, warmUp = false, replyTokens = 64 }: PairOptions = {},
): Promise<PairReading> {
  const options = signal ? { signal } : {}
  const donorTokens = engine.encodePrompt(contentOf(pair.donor, engine))
  const content = contentOf(pair.target, engine)
  const fact = pair.fact && factTokens(pair.fact, engine)
  const numSteps = 1 + (arms.length + 1) * (rounds + Number(warmUp))
  let step = 0
  const tick = () => onStep?.(step++, numSteps)
  tick()
  const donor = await readDonor(engine, donors, donorTokens, options)
  const replying = {
    forced: fact?.forced ?? new Int32Array(),
    maxTokens: fact ? swapReplyTokens : replyTokens,
    eosIds: engine.eosIds,
    ...options,
  }
  const full = newTimes()
  const states = arms.map((): ArmReading => ({ ...newTimes(), reuse: null }))
  let reply: FullReply | null = null
  for (let round = warmUp ? -1 : 0; round < rounds; round++) {
    const read = (sequence: PairSequence, times: Times) =>
      readTarget(engine, sequence, { content, times: round < 0 ? newTimes() : times, ...options })
    tick()
    await using sequence = engine.createSequence({})
    const logits = await read(sequence, full)
    if (round === 0 && replyTokens > 0) reply = await writeFullReply(sequence, logits, replying)
    for (const [at, arm] of arms.entries()) {
      tick()
      const state = states[at]
      const scope = scopeOfRun()
      await donors.lend(isZeroed(arm) ? zeroedDonor(donor) : donor, scope, async () => {
        await using run = engine.createSequence({ policy: policyOf(arm, donors.library), scope })
        const armLogits = await read(run, state)
        state.reuse = run.reuse()
        if (round !== 0 || reply === null) return
        if (fact) state.reply = await writeOwnReply(run, armLogits, replying)
        state.fidelity = await compareAlong(run, armLogits, reply, signal)
      })
    }
  }
  tick()
  return { tokens: engine.encodePrompt(content), donorTokens, full, arms: states, reply, fact }
}

function newTimes(): Times {
  return { ttftMs: [], prefillMs: [] }
}

/** The prompt's text, with the first tokens of `front` where they are to stand. */
function contentOf({ content, front }: PairPrompt, engine: PairEngine): string {
  if (!front) return content
  return content.replace(frontMark, () => engine.decode(engine.encode(front.text).slice(0, front.tokens)))
}

/** Shared with nobody, but one under which rows may be lent. */
function scopeOfRun(): Scope {
  return { tenant: 'eval', group: globalThis.crypto.randomUUID(), model: 'one', layout: 'one', policy: 'pairs' }
}

function isZeroed({ spec }: Arm): boolean {
  return spec.options.control === 'zeroed'
}

/** Publishes all rows of a prompt. */
const publishAll: CachePolicy = {
  name: 'publish-all',
  effects: { slots: ['publish'], fidelity: 'exact' },
  bind() {},
  open: ({ scope }) => ({
    publish: ({ tokens }) => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
    async [Symbol.asyncDispose]() {},
  }),
}

async function readDonor(
  engine: PairEngine,
  donors: CaseDonors,
  tokens: Int32Array,
  options: { readonly signal?: AbortSignal },
): Promise<DonorKv> {
  await using sequence = engine.createSequence({ policy: publishAll, scope: scopeOfRun() })
  await sequence.prefill(tokens, options)
  return donors.catchDonor(() => sequence.publish())
}

/** From text to the first token; returns the logits that this was taken from. */
async function readTarget(
  engine: PairEngine,
  sequence: PairSequence,
  { content, times, signal }: { readonly content: string; readonly times: Times; readonly signal?: AbortSignal },
): Promise<Float32Array> {
  const startMs = performance.now()
  const tokens = engine.encodePrompt(content)
  const prefillStartMs = performance.now()
  const logits = await sequence.prefill(tokens, signal ? { signal } : {})
  const prefillEndMs = performance.now()
  argMax(logits)
  times.ttftMs.push(performance.now() - startMs)
  times.prefillMs.push(prefillEndMs - prefillStartMs)
  return logits
}

function reuseFields(reuse: ReuseOutcome | null) {
  const { accepted = false, reason = 'the policy never reuses', recomputedShare = 1 } = reuse ?? {}
  return { accepted, reason, recomputedShare }
}

/** `ttftRatio` is taken round by round: above 1 the arm is faster. */
function timeFields({ ttftMs }: Times, full: Times) {
  return {
    ttftMs: median(ttftMs),
    ttftFullMs: median(full.ttftMs),
    ttftRatio: median(ttftMs.map((ms, round) => full.ttftMs[round] / ms)),
    prefillFullMs: median(full.prefillMs),
  }
}

function fidelityFields({ klNats, selfPplRatio, top1 }: Fidelity, { tokens }: FullReply) {
  return { klNats, selfPplRatio, top1, replyTokens: tokens.length }
}

/** Whose fact the replies give, and which is the likelier one. */
function factFields(
  engine: PairEngine,
  { fact: asked }: PairCase,
  fact: FactTokens,
  { reply = [], fidelity }: ArmReading,
  full: FullReply,
) {
  if (!asked || !fidelity) return {}
  const textOf = (tokens: readonly number[]) =>
    engine.decode(Int32Array.from([...fact.forced, ...tokens])).slice(asked.answerPrefix.length)
  const fullTokens = full.tokens.filter((token) => !engine.eosIds.includes(token))
  return {
    targetAnswer: asked.targetAnswer.trim(),
    donorAnswer: asked.donorAnswer.trim(),
    reply: textOf(reply),
    replyFull: textOf(fullTokens),
    follows: followedFact(textOf(reply), asked),
    followsFull: followedFact(textOf(fullTokens), asked),
    marginNats: answerMargin(fidelity.firstLogits, fact),
    marginFullNats: answerMargin(full.distributions[0].logits, fact),
  }
}
