import type { CachePolicy, PolicySession } from '@kvasir/core'
import { CaseDonors, llamaPairs, makePolicy, median, parsePolicySpec, readPair } from '@kvasir/eval'
import { loadLlama } from '@kvasir/llama'
import { type DonorLibrary, donorLibrary } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'
import type { Bench } from './bench.ts'
import { pairedRow, timeRow } from './pairs.ts'
import type { BenchRow } from './report.ts'
import { reusePairs, unrelatedPair } from './reuse-prompts.ts'

/** One donor, and its copy that is lent. */
const donorBytes = 1e9
/** Beside the text: the template, the request, new tokens, and text that is cut up anew. */
const slackTokens = 512

/**
 * Time from a prompt's text to its first token where a similar prompt is stored, in turns with the full prefill of the same
 * prompt; and what looking for a donor takes where there is none to be had.
 */
export async function benchReuse(bench: Bench, length: number): Promise<BenchRow[]> {
  const { modelPath, kernels, text, pairs: rounds, progress } = bench
  const donors = new CaseDonors(await donorLibrary({ store: hostDonors({ budgetBytes: donorBytes }) }))
  const contextTokens = length + slackTokens
  await using model = await loadLlama({ model: modelPath, kernels, donors, contextTokens, maxBatch: 1 })
  const engine = llamaPairs(model)
  const options = { rounds, warmUp: true, replyTokens: 0 }
  const rows: BenchRow[] = []
  for (const { name, spec, pair } of reusePairs(text, length, engine)) {
    progress(`${name} ${length}`)
    const arm = { spec: parsePolicySpec(spec), budget: null }
    const policyOf = (_: unknown, library: DonorLibrary) => makePolicy(arm, { donors: library })
    const { full, arms, tokens } = await readPair({ engine, donors, policyOf }, pair, [arm], {}, options)
    const { accepted = false, recomputedShare = 1, reason = '' } = arms[0].reuse ?? {}
    const shape = `length=${tokens.length},recomputed=${(100 * recomputedShare).toFixed(1)}%`
    const row = pairedRow({ name, shape, unit: 'ms' }, (ms) => ms, arms[0].ttftMs, full.ttftMs, 'full prefill')
    rows.push(accepted ? row : { ...row, note: reason })
  }
  progress(`declined lookup ${length}`)
  const lookupMs: number[] = []
  const arm = { spec: parsePolicySpec('semshare-kv'), budget: null }
  const policyOf = (_: unknown, library: DonorLibrary) => timedReuse(makePolicy(arm, { donors: library }), lookupMs)
  const pair = unrelatedPair(text, length, engine)
  const { full, arms, tokens } = await readPair({ engine, donors, policyOf }, pair, [arm], {}, options)
  const shape = `length=${tokens.length}`
  const counted = lookupMs.slice(-rounds)
  const label = { name: 'reuse declined, lookup', shape, unit: 'ms' }
  const row = pairedRow(label, (ms) => ms, counted, full.prefillMs, 'full prefill')
  rows.push(arms[0].reuse?.accepted ? { ...row, note: 'was not declined' } : row)
  const share = (100 * median(counted)) / median(full.prefillMs)
  rows.push(timeRow({ ...label, name: 'reuse declined, overhead', unit: '% of the prefill' }, () => share, counted))
  return rows
}

/** The policy, its question for donors timed into `times`. */
function timedReuse(policy: CachePolicy, times: number[]): CachePolicy {
  const timed = (session: PolicySession): PolicySession => ({
    ...session,
    async reuse(prompt) {
      const startMs = performance.now()
      const offer = await session.reuse?.(prompt)
      times.push(performance.now() - startMs)
      return offer ?? { kind: 'decline', reason: 'the policy never reuses' }
    },
  })
  return {
    name: policy.name,
    effects: policy.effects,
    bind: (engine) => policy.bind(engine),
    open: (sequence) => timed(policy.open(sequence)),
  }
}
