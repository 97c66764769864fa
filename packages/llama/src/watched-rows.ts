import { addRowMass } from './attention-view.ts'
import { fillBatch } from './batch.ts'
import type { EngineParts } from './engine-parts.ts'
import { beforeForgotten, type ObservedPrompt, takeChunk, takeRow, watchChunk } from './observed-prompt.ts'
import { widenMass } from './observer-mass.ts'
import type { SequenceState } from './sequence-state.ts'

/** Runs the filled batch, `rows` of one sequence, and takes in what its rows paid. */
export async function runWatched(
  parts: EngineParts,
  state: SequenceState,
  observed: ObservedPrompt,
  rows: number,
  signal: AbortSignal | undefined,
): Promise<ObservedPrompt> {
  const numTokens = state.tokens.length + rows
  const kept = watchChunk(parts, observed, rows, numTokens)
  const program = parts.programs.observer().prefill(observed.allRows)
  await program.run({ tokens: rows, outputs: kept, sequences: 1, ...(signal && { signal }) })
  return takeChunk(parts, observed, { numTokens, kept })
}

/** Runs one row that reads what is held and no more, layer by layer, and takes in what it paid. */
export async function runWatchedRow(
  parts: EngineParts,
  state: SequenceState,
  observed: ObservedPrompt,
  signal: AbortSignal | undefined,
): Promise<ObservedPrompt> {
  const { programs, workspace, config } = parts
  const queries: Float32Array[] = []
  workspace.outputRows[0] = 0
  for (const program of programs.cuts()) {
    const kept = [state.kept?.native ?? null]
    await program.run({ tokens: 1, outputs: 1, sequences: 1, kept, ...(signal && { signal }) })
    if (queries.length < config.numLayers) queries.push(workspace.q.slice(0, config.numHeads * config.headDim))
  }
  const row = state.tokens.length
  const before = observed.allRows ? observed.mass : null
  const mass =
    before &&
    queries.map((of, layer) => {
      const sums = widenMass(before[layer] ?? new Float32Array(0), config.numHeads, row + 1)
      addRowMass(parts, state, layer, { queries: of, row }, sums)
      return sums
    })
  return takeRow(observed, queries, mass, row + 1)
}

/**
 * Reads the rows again whose attention a rewind into their prompt made unknown. Nothing else changes: the same bits are
 * written.
 */
export async function readForgotten(
  parts: EngineParts,
  state: SequenceState,
  chunkTokens: number,
  signal?: AbortSignal,
): Promise<void> {
  const forgotten = beforeForgotten(state.observed)
  if (!forgotten || !state.observed) return
  const { massTokens: end } = state.observed
  const after = state.tokens.splice(end)
  const rows = state.tokens.splice(forgotten.start)
  let { known } = forgotten
  try {
    while (state.tokens.length < end) {
      signal?.throwIfAborted()
      const read = state.tokens.length - forgotten.start
      const tokens = rows.slice(read, read + chunkTokens)
      fillBatch(parts, [{ state, tokens }])
      known = await runWatched(parts, state, known, tokens.length, signal)
      for (const token of tokens) state.tokens.push(token)
    }
    state.observed = known
  } finally {
    state.tokens.length = forgotten.start
    for (const token of [...rows, ...after]) state.tokens.push(token)
  }
}
