import { argMax, compareLogits, type Distribution, distributionOf, mean } from '../metrics.ts'
import type { PairSequence } from './pair-engine.ts'

/** A reply by full recompute: what the others are compared with, token by token. */
export interface FullReply {
  /** Fed before the first scored token. */
  readonly forced: Int32Array
  /** Scored tokens; the end of the turn is one of them. */
  readonly tokens: readonly number[]
  /** The distribution that each of them was drawn from. */
  readonly distributions: readonly Distribution[]
  readonly nllNats: number
}

export interface ReplyOptions {
  readonly forced: Int32Array
  readonly maxTokens: number
  readonly eosIds: readonly number[]
  readonly signal?: AbortSignal
}

/** Greedy from the logits behind the prompt, after the forced tokens. */
export async function writeFullReply(
  sequence: PairSequence,
  promptLogits: Float32Array,
  { forced, maxTokens, eosIds, signal }: ReplyOptions,
): Promise<FullReply> {
  const options = signal ? { signal } : {}
  let logits = await feed(sequence, forced, promptLogits, options)
  const tokens: number[] = []
  const distributions: Distribution[] = []
  for (;;) {
    const distribution = distributionOf(logits.slice())
    distributions.push(distribution)
    tokens.push(distribution.best)
    if (tokens.length === maxTokens || eosIds.includes(distribution.best)) break
    logits = await sequence.decode(distribution.best, options)
  }
  const nllNats = mean(distributions.map(({ logNorm, logits, best }) => logNorm - logits[best]))
  return { forced, tokens, distributions, nllNats }
}

/** The logits behind the tokens. */
async function feed(
  sequence: Pick<PairSequence, 'decode'>,
  tokens: Int32Array,
  logitsBefore: Float32Array,
  options: { readonly signal?: AbortSignal },
): Promise<Float32Array> {
  let logits = logitsBefore
  for (const token of tokens) logits = await sequence.decode(token, options)
  return logits
}

/** How near a run is to the full recompute along the reply of that. */
export interface Fidelity {
  /** Mean KL(full || run) a token. */
  readonly klNats: number
  /** exp of what the run's mean NLL is above the full recompute's. */
  readonly selfPplRatio: number
  /** Share of the tokens with the same arg-max. */
  readonly top1: number
  /** The run's logits behind the forced tokens. */
  readonly firstLogits: Float32Array
}

/** Feeds a run the reply of the full recompute. */
export async function compareAlong(
  sequence: PairSequence,
  promptLogits: Float32Array,
  { forced, tokens, distributions, nllNats }: FullReply,
  signal?: AbortSignal,
): Promise<Fidelity> {
  const options = signal ? { signal } : {}
  let logits = await feed(sequence, forced, promptLogits, options)
  const firstLogits = logits.slice()
  const comparisons = []
  for (const [at, token] of tokens.entries()) {
    comparisons.push(compareLogits(distributions[at], logits, token))
    if (at + 1 < tokens.length) logits = await sequence.decode(token, options)
  }
  return {
    klNats: mean(comparisons.map(({ klNats }) => klNats)),
    selfPplRatio: Math.exp(mean(comparisons.map((one) => one.nllNats)) - nllNats),
    top1: mean(comparisons.map(({ sameBest }) => Number(sameBest))),
    firstLogits,
  }
}

/** The run's own greedy reply behind the forced tokens, in a fork of it. */
export async function writeOwnReply(
  sequence: PairSequence,
  promptLogits: Float32Array,
  { forced, maxTokens, eosIds, signal }: ReplyOptions,
): Promise<number[]> {
  const options = signal ? { signal } : {}
  await using fork = await sequence.fork()
  let logits = await feed(fork, forced, promptLogits, options)
  const tokens: number[] = []
  while (tokens.length < maxTokens) {
    const token = argMax(logits)
    if (eosIds.includes(token)) break
    tokens.push(token)
    if (tokens.length < maxTokens) logits = await fork.decode(token, options)
  }
  return tokens
}
