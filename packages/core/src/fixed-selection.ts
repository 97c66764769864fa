import { countReadTokens } from './dropped-spans.ts'
import type { SequenceContext } from './engine-profile.ts'
import type { CachePolicy, Effects, PolicySession } from './policy.ts'
import { requireCapabilities } from './require-capabilities.ts'
import { runsOfSpans } from './run-list.ts'
import type { Span } from './segment.ts'
import { mergeSpans } from './spans.ts'

/**
 * A whole policy from a rule that looks at lengths alone: `spans` gives the index spans that every head of every layer
 * reads at a step of numTokens rows. They may overlap; the current token is added.
 */
export function fixedSelection(
  name: string,
  spans: (view: { readonly numTokens: number }) => readonly Span[],
): CachePolicy {
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({ slots: ['select'], fidelity: 'lossy', selectScope: 'step' }),
    bind: (engine) => requireCapabilities(name, engine, ['select.runs']),
    open: (sequence) => openFixed(sequence, spans),
  })
}

function openFixed(
  sequence: SequenceContext,
  spans: (view: { readonly numTokens: number }) => readonly Span[],
): PolicySession {
  const { layers } = sequence.profile.shape
  const counts = { steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 }
  return {
    select({ numTokens, kv }) {
      const current = { start: numTokens - 1, end: numTokens }
      const runs = runsOfSpans(mergeSpans(spans({ numTokens }), [current]), layers[0].numKvHeads)
      counts.steps++
      for (const layer of layers.keys()) counts.attendedTokens += countReadTokens(kv, layer, runs)
      return { kind: 'runs', runs }
    },
    rewind() {},
    fork: (fork) => openFixed(fork, spans),
    counts: () => ({ ...counts }),
    async [Symbol.asyncDispose]() {},
  }
}
