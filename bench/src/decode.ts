import type { CachePolicy, ObservedAttention } from '@kvasir/core'
import { median } from '@kvasir/eval'
import { createSampler, type Sequence } from '@kvasir/llama'
import type { Bench } from './bench.ts'
import { type Contestant, pairedRow, takeTurns, timeRow } from './pairs.ts'
import type { BenchRow } from './report.ts'
import { openTiered } from './tiers.ts'

/** Tokens decoded in one turn: the mean is over these, at lengths from `length` to `length + turnTokens`. */
export const turnTokens = 32

/**
 * Ours with the full cache, with each policy and with its rows in lower tiers, and the peer with its full cache, in turns
 * on the same tokens. Each round goes on from the prompt with other tokens of the text: none finds hot what the last one read.
 */
export async function benchDecode(bench: Bench, length: number): Promise<BenchRow[]> {
  const opened: AsyncDisposable[] = []
  try {
    return await timeSides(bench, length, opened)
  } finally {
    for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
  }
}

/** What it opens it adds to `opened`. */
async function timeSides(bench: Bench, length: number, opened: AsyncDisposable[]): Promise<BenchRow[]> {
  const { model, peer, tokens, pairs, progress } = bench
  const prompt = tokens.subarray(0, length)
  progress(`decode ${length}, prefill`)
  const full = model.createSequence({ observe: observedBy(bench.arms.map(({ policy }) => policy)) })
  opened.push(full)
  const startMs = performance.now()
  await full.prefill(prompt)
  const prefillMs = performance.now() - startMs
  await peer?.engine.prefill(prompt)
  const sides = await openSides(bench, full, length, opened)
  const contestant = (decode: (fed: Int32Array) => Promise<number>): Contestant => {
    let start = length
    return () => {
      start += turnTokens
      return decode(tokens.subarray(start - turnTokens, start))
    }
  }
  const contestants: Record<string, Contestant> = { full: contestant((fed) => timeDecode(full, fed)) }
  if (peer) contestants.theirs = contestant((fed) => peer.engine.decode(fed))
  for (const { key, sequence } of sides) contestants[key] = contestant((fed) => timeDecode(sequence, fed))
  const times = await takeTurns(contestants, pairs, () => progress(`decode ${length}`))

  const row = (name: string, shape: string, ours: string, theirs?: string, against?: string) => {
    const label = { name, shape, unit: 'ms/token' }
    if (theirs === undefined || against === undefined) return timeRow(label, (ms) => ms, times[ours])
    return pairedRow(label, (ms) => ms, times[ours], times[theirs], against)
  }
  const rows = [row('decode full', `length=${length}`, 'full', ...(peer ? (['theirs', peer.name] as const) : []))]
  for (const { key, name, shape, above } of sides) {
    rows.push(row(name, shape, key, 'full', 'full cache'))
    if (peer) rows.push(row(name, shape, key, 'theirs', peer.name))
    if (above) rows.push(row(name, shape, key, above, 'rows in memory'))
  }
  for (const side of sides) rows.push(...shareRows(side, median(times[side.key]), prefillMs))
  return rows
}

/** What choosing takes of a step, and what starting the policy on a prompt takes beside its prefill. */
function shareRows({ name, shape, sequence, startMs }: Side, stepMs: number, prefillMs: number): BenchRow[] {
  const { selectMs, decodeSteps } = sequence.report()
  const policy = name.replace('decode ', '')
  const share = (what: string, unit: string, ours: number, theirs: number, against: string): BenchRow => {
    return { name: `${what} ${policy}`, shape, unit, ours, theirs, against, ratio: theirs / ours, pairs: 1 }
  }
  const rows = selectMs > 0 ? [share('select', 'ms/token', selectMs / decodeSteps, stepMs, 'whole step')] : []
  return startMs === undefined ? rows : [...rows, share('index', 'ms', startMs, prefillMs, 'prefill')]
}

/** What any of the policies wants to see of a prompt. */
function observedBy(policies: readonly CachePolicy[]): ObservedAttention {
  const observes = policies.map(({ effects }) => effects.observes)
  return {
    windowTokens: Math.max(0, ...observes.map((wish) => wish?.windowTokens ?? 0)),
    allRows: observes.some((wish) => wish?.allRows ?? false),
  }
}

/** Something that decodes beside the full cache. */
interface Side {
  readonly key: string
  readonly name: string
  readonly shape: string
  readonly sequence: Sequence
  /** What it took to start the policy on the prompt that stands. */
  readonly startMs?: number
  /** Key of the same policy with all rows in memory. */
  readonly above?: string
}

async function openSides(
  { arms, tiers, modelPath, model, kernels, tokens }: Bench,
  full: Sequence,
  length: number,
  opened: AsyncDisposable[],
): Promise<Side[]> {
  const sides: Side[] = []
  for (const { name, budget, policy } of arms) {
    if (budget !== null && length <= 2 * budget) continue
    const shape = `length=${length}${budget === null ? '' : `,budget=${budget}`}`
    const key = `${name} ${budget}`
    const beginMs = performance.now()
    const fork = await full.fork({ policy })
    const startMs = performance.now() - beginMs
    opened.push(fork)
    sides.push({ key, name: `decode ${name}`, shape, sequence: fork, startMs })
    for (const tier of budget === null ? [] : tiers) {
      const [prompt, contextTokens] = [tokens.subarray(0, length), length + turnTokens]
      const options = {
        model: modelPath,
        config: model.config,
        kernels,
        contextTokens,
        prompt,
        policy,
        budgetTokens: budget ?? 0,
      }
      const tiered = await openTiered(tier, options)
      opened.push(tiered)
      const { sequence, hotBytes } = tiered
      const hot = `${shape},tier=${tier},hotMB=${(hotBytes / 1e6).toFixed(0)}`
      sides.push({ key: `${key} ${tier}`, name: `decode ${name}, ${tier} tier`, shape: hot, sequence, above: key })
    }
  }
  return sides
}

/** Milliseconds a token, a greedy draw each; then forgets the tokens, so that every turn starts at the same length. */
async function timeDecode(sequence: Sequence, tokens: Int32Array): Promise<number> {
  const start = sequence.numTokens
  const sampler = createSampler()
  const startMs = performance.now()
  for (const token of tokens) sampler.sample(await sequence.decode(token))
  const ms = performance.now() - startMs
  await sequence.rewind(start)
  return ms / tokens.length
}
