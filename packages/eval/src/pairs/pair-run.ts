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
  /** Most tokens of the reply. @default 64 */
  readonly replyTokens?: number
}

/** What one arm, or the full recompute, took to the first token. */
interface Times {
  readonly ttftMs: number[]
  readonly prefillMs: number[]
}

interface ArmState extends Times {
  fidelity?: Fidelity
  reply?: readonly number[]
  reuse: ReuseOutcome | null
}

const swapReplyTokens = 12

/**
 * The donor is read and published; then the full recompute and each arm read the target in turns, each from its text to its
 * first token and in a scope of its own. In the first round the full recompute writes its reply, along which the arms are
 * compared.
 */
export async function runPairCase<Library extends LendingStore>(
  { engine, donors, policyOf }: PairBench<Library>,
  pair: PairCase,
  arms: readonly Arm[],
  { onStep, signal }: CaseHooks = {},
  { rounds = 1, warmUp = false, replyTokens = 64 }: PairOptions = {},
): Promise<CaseResult[]> {
  const options = signal ? { signal } : {}
  const donorContent = contentOf(pair.donor, engine)
  const content = contentOf(pair.target, engine)
  const donorTokens = engine.encodePrompt(donorContent)
  const tokens = engine.encodePrompt(content)
  const fact = pair.fact && factTokens(pair.fact, engine)
  const numSteps = 1 + (arms.length + 1) * (rounds + Number(warmUp))
  let step = 0
  const tick = () => onStep?.(step++, numSteps)
  tick()
  const donor = await readDonor(engine, donors, donorTokens, options)
  const read = (sequence: PairSequence, times: Times) => readTarget(engine, sequence, { content, times, ...options })
  const replying = {
    forced: fact?.forced ?? new Int32Array(),
    maxTokens: fact ? swapReplyTokens : replyTokens,
    eosIds: engine.eosIds,
    ...options,
  }
  const full: Times = { ttftMs: [], prefillMs: [] }
  const states = arms.map((): ArmState => ({ ttftMs: [], prefillMs: [], reuse: null }))
  let reply: FullReply | undefined
  for (let round = warmUp ? -1 : 0; round < rounds; round++) {
    tick()
    const unless = <T>(value: T, uncounted: T): T => (round < 0 ? uncounted : value)
    await using sequence = engine.createSequence({})
    const logits = await read(sequence, unless(full, { ttftMs: [], prefillMs: [] }))
    if (round === 0) reply = await writeFullReply(sequence, logits, replying)
    for (const [at, arm] of arms.entries()) {
      tick()
      const state = states[at]
      const scope = scopeOfRun()
      await donors.lend(isZeroed(arm) ? zeroedDonor(donor) : donor, scope, async () => {
        await using run = engine.createSequence({ policy: policyOf(arm, donors.library), scope })
        const armLogits = await read(run, unless<Times>(state, { ttftMs: [], prefillMs: [] }))
        if (round !== 0 || !reply) return
        state.reuse = run.reuse()
        if (fact) state.reply = await writeOwnReply(run, armLogits, replying)
        state.fidelity = await compareAlong(run, armLogits, reply, signal)
      })
    }
  }
  tick()
  return arms.map((arm, at) => ({
    ...keyOf(pair, arm),
    ...{ kind: pair.kind, variant: pair.variant },
    ...{ targetTokens: tokens.length, donorTokens: donorTokens.length },
    exactShare: exactShare(tokens, donorTokens),
    ...reuseFields(states[at].reuse),
    ...timeFields(states[at], full),
    ...fidelityFields(states[at].fidelity as Fidelity, reply as FullReply),
    ...(fact && factFields(engine, pair, fact, states[at], reply as FullReply)),
  }))
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
  { reply = [], fidelity }: ArmState,
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
