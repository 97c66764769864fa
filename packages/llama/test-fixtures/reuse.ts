import { type CachePolicy, exact, type PolicySession, type ReusePlan, type Scope, withLoss } from '@kvasir/core'
import { memoryDonors, probePolicy } from '@kvasir/core/testing'
import { type LlamaModel, type LlamaOptions, loadLlama } from '../src/index.ts'
import { fixturePath } from './fixtures.ts'

export const scope: Scope = { tenant: 't', group: 'g', model: 'm', layout: 'l', policy: 'p' }
export const document = Int32Array.from({ length: 90 }, (_, i) => (i * 37 + 5) % 512)
/** The document's tail first, then its head: both moved. */
export const reordered = Int32Array.from([...document.subarray(50), ...document.subarray(0, 50)])

export function openModel(options: Partial<LlamaOptions> = {}): Promise<LlamaModel> {
  return loadLlama({
    model: fixturePath('gguf/llama-Q4_1.gguf'),
    donors: memoryDonors(),
    kvCapacityTokens: 4096,
    ...options,
  })
}

export const publisher = probePolicy({ slots: ['publish'] }, () => ({
  publish: ({ tokens }) => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
}))

export async function publish(model: LlamaModel, tokens = document): Promise<string> {
  await using sequence = model.createSequence({ policy: publisher, scope })
  await sequence.prefill(tokens)
  return (await sequence.publish()) as string
}

/** Borrows both parts of `reordered`, and computes every third row. */
export function planFor(donor: string): ReusePlan {
  return {
    kind: 'reuse',
    pieces: [
      { start: 0, end: 40, donor, donorStart: 50 },
      { start: 40, end: 89, donor, donorStart: 0 },
    ],
    recompute: { rows: Int32Array.from({ length: 90 }, (_, row) => row).filter((row) => row % 3 === 0 || row === 89) },
    provenance: withLoss(exact, 'moved'),
    reason: 'two parts were moved',
  }
}

export function borrower(plan: ReusePlan, hooks: Partial<PolicySession> = {}): CachePolicy {
  const slots = hooks.recompute ? (['reuse', 'recompute'] as const) : (['reuse'] as const)
  return probePolicy({ slots: [...slots] }, () => ({ reuse: async () => plan, ...hooks }))
}

export async function prefillOf(model: LlamaModel, tokens: Int32Array, policy?: CachePolicy): Promise<Float32Array> {
  await using sequence = model.createSequence(policy ? { policy, scope } : {})
  return await sequence.prefill(tokens)
}
