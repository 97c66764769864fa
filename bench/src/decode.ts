import type { CachePolicy, ObservedAttention } from '@kvasir/core'
import { createSampler, type Sequence } from '@kvasir/llama'
import type { Bench } from './bench.ts'
import { type Contestant, pairedRow, takeTurns, timeRow } from './pairs.ts'
import type { BenchRow } from './report.ts'

/** Tokens decoded in one turn: the mean is over these, at lengths from `length` to `length + turnTokens`. */
export const turnTokens = 32

const fullCache = 'full cache'

/** Ours with the full cache and with each policy, and the peer with its full cache, in turns on the same tokens. */
export async function benchDecode(bench: Bench, length: number): Promise<BenchRow[]> {
  const { model, peer, tokens, pairs, progress, arms } = bench
  const prompt = tokens.subarray(0, length)
  const fed = tokens.subarray(length, length + turnTokens)
  progress(`decode ${length}, prefill`)
  const fitting = arms.filter(({ budget }) => budget === null || length > 2 * budget)
  await using full = model.createSequence({ observe: observedBy(fitting.map(({ policy }) => policy)) })
  await full.prefill(prompt)
  await peer?.engine.prefill(prompt)
  const forks = await Promise.all(fitting.map(({ policy }) => full.fork({ policy })))
  const contestants: Record<string, Contestant> = { full: () => timeDecode(full, fed) }
  if (peer) contestants.theirs = () => peer.engine.decode(fed)
  forks.forEach((fork, at) => {
    contestants[`arm ${at}`] = () => timeDecode(fork, fed)
  })
  const times = await takeTurns(contestants, pairs, () => progress(`decode ${length}`))
  const against = (label: { name: string; shape: string }, ours: number[], theirs: number[], name: string) =>
    pairedRow({ ...label, unit }, (ms) => ms, ours, theirs, name)

  const label = { name: 'decode full', shape: `length=${length}` }
  const rows = peer
    ? [against(label, times.full, times.theirs, peer.name)]
    : [timeRow({ ...label, unit }, (ms) => ms, times.full)]
  fitting.forEach(({ name, budget }, at) => {
    const shape = `length=${length}${budget === null ? '' : `,budget=${budget}`}`
    const own = { name: `decode ${name}`, shape }
    rows.push(against(own, times[`arm ${at}`], times.full, fullCache))
    if (peer) rows.push(against(own, times[`arm ${at}`], times.theirs, peer.name))
  })
  for (const fork of forks) await fork.dispose()
  return rows
}

/** What the policies together must see of the prompt's attention. */
function observedBy(policies: readonly CachePolicy[]): ObservedAttention {
  const observes = policies.map(({ effects }) => effects.observes)
  return {
    windowTokens: Math.max(0, ...observes.map((wish) => wish?.windowTokens ?? 0)),
    allRows: observes.some((wish) => wish?.allRows ?? false),
  }
}

const unit = 'ms/token'

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
