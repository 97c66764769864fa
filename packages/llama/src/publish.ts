import { randomUUID } from 'node:crypto'
import { type DonorKv, PlanError, ProvenanceError } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { readerOf, type SequenceState } from './sequence-state.ts'

/**
 * Asks the policy which rows become a donor and hands them to the donor store. Returns the donor's id; null where the
 * policy publishes nothing or the store turned the rows away. Throws a ProvenanceError for rows that were not computed in full.
 */
export async function publishRows(
  parts: EngineParts,
  state: SequenceState,
  signal?: AbortSignal,
): Promise<string | null> {
  const { session, tokens, exactTokens, slots, published } = state
  const { donors, arena } = parts
  if (session === null || !donors || !slots.has('publish') || tokens.length === 0) return null
  if (published?.exactTokens === exactTokens) return published.id
  const plan = session.publish({ tokens: Int32Array.from(tokens), kv: readerOf(state, tokens.length, arena) })
  const [span, ...others] = plan.spans
  state.published = { id: null, exactTokens }
  if (span === undefined) return null
  if (span.start !== 0 || others.length > 0) {
    throw new PlanError({ parameter: 'plan.spans', expected: 'one span, from row 0 on', got: plan.spans })
  }
  if (span.end > exactTokens) {
    const expected = `rows in [0, ${exactTokens}), which were computed in full`
    throw new ProvenanceError({ parameter: 'plan.spans', expected, got: [span.start, span.end] })
  }
  const donor = donorOf(parts, state, span.end)
  if (!(await donors.put(donor, signal))) return null
  state.published = { id: donor.id, exactTokens }
  return donor.id
}

/** Rows [0, numTokens) of a sequence, read from the arena a layer at a time; good while the sequence stands still. */
function donorOf({ kernels, arena, profile }: EngineParts, state: SequenceState, numTokens: number): DonorKv {
  const pages = Int32Array.from(state.pages)
  const valueBytes = arena.type === 'f16' ? 2 : 4
  const bytes = arena.numKvHeads * 2 * numTokens * arena.headDim * valueBytes
  return {
    id: randomUUID(),
    scope: state.scope,
    tokens: Int32Array.from(state.tokens.slice(0, numTokens)),
    format: profile.format!,
    async layer(layer, signal) {
      const out = new Uint8Array(bytes)
      await kernels.exportRows({ arena, layer, pages, numTokens, out, ...(signal && { signal }) })
      return out
    },
    close() {},
  }
}
