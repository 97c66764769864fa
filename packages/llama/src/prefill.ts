import { checkInteger, isPrivateScope, pageTokens } from '@kvasir/core'
import { attentionOf } from './attention-view.ts'
import { type BatchSlice, commitBatch, fillBatch } from './batch.ts'
import type { EngineParts } from './engine-parts.ts'
import { keepRows } from './kept-rows.ts'
import { beginPrompt } from './observed-prompt.ts'
import { checkRequest } from './request-checks.ts'
import { borrowPrompts } from './reuse.ts'
import { readerOf, type SequenceState } from './sequence-state.ts'
import { readForgotten, runWatched, runWatchedRow } from './watched-rows.ts'

/** Tokens to append to one sequence. */
export interface PrefillRequest {
  readonly state: SequenceState
  readonly tokens: ArrayLike<number>
  /** Called with the logits of every token, in order; `logits` is a view that the next call overwrites. */
  readonly onLogits?: (index: number, logits: Float32Array) => void
}

export interface PrefillRun {
  readonly signal?: AbortSignal
  /** @default the model's, which is also the most */
  readonly chunkTokens?: number
}

interface Pending extends PrefillRequest {
  readonly tokens: Int32Array
  done: number
  logits: Float32Array | null
}

/**
 * Computes the KV rows of the requests' tokens, densely, in chunks that mix sequences, and returns the logits of each
 * request's last token. After an abort or error a sequence holds the chunks that were finished.
 */
export async function prefill(
  parts: EngineParts,
  requests: readonly PrefillRequest[],
  { signal, chunkTokens = parts.chunkTokens }: PrefillRun = {},
): Promise<Float32Array[]> {
  checkInteger('chunkTokens', chunkTokens, 1, parts.chunkTokens)
  const pending: Pending[] = requests.map((request) => ({
    ...request,
    tokens: checkRequest(parts, request.state, request.tokens),
    done: 0,
    logits: null,
  }))
  for (const request of pending) {
    const { state } = request
    if (state.observed?.allRows) await readForgotten(parts, state, chunkTokens, signal)
    if (state.observed) state.observed = beginPrompt(state.observed, state.tokens.length, !state.kept)
    await reusePrefix(parts, request, signal)
  }
  await borrowRows(parts, pending, signal)
  for (;;) {
    signal?.throwIfAborted()
    const chunk = nextChunk(pending, chunkTokens, parts.workspace.maxSequences)
    if (chunk.length === 0) break
    await runChunk(parts, chunk, signal)
  }
  for (const { state } of pending) {
    if (isPrivateScope(state.scope)) continue
    parts.prefixCache.publish(state.scope, state.tokens, state.exactTokens, state.pages)
  }
  return pending.map(({ logits }) => logits as Float32Array)
}

/** Takes over the pages of a cached prefix where the sequence is empty and nobody needs what computing it shows. */
async function reusePrefix(parts: EngineParts, request: Pending, signal?: AbortSignal): Promise<void> {
  const { state, tokens } = request
  if (state.tokens.length > 0 || request.onLogits || state.observed?.allRows) return
  const unseen = Math.max(0, tokens.length - (state.observed?.windowTokens ?? 0))
  const pages = parts.prefixCache.match(state.scope, tokens.subarray(0, unseen))
  if (pages.length === 0) return
  state.pages.push(...pages)
  request.done = pages.length * pageTokens
  state.counts.reusedTokens += request.done
  const reused = tokens.subarray(0, request.done)
  commitBatch([{ state, tokens: reused }], true)
  await askRetain(parts, state, reused, false, signal)
}

/** Lets the policies of fresh sequences borrow rows, where nobody needs what computing all of them shows. */
async function borrowRows(parts: EngineParts, pending: readonly Pending[], signal?: AbortSignal): Promise<void> {
  const fresh = pending.filter(({ state, done, onLogits }) => state.tokens.length === done && !onLogits)
  const all = await borrowPrompts(parts, fresh, signal)
  for (const [at, request] of fresh.entries()) {
    const logits = all[at]
    if (!logits) continue
    const rest = request.tokens.subarray(request.done)
    request.done = request.tokens.length
    request.logits = logits
    await askRetain(parts, request.state, rest, true, signal)
  }
}

interface ChunkSlice extends BatchSlice {
  readonly request: Pending
  readonly tokens: Int32Array
}

/** The next rows of the requests in order, at most chunkTokens in all. */
function nextChunk(pending: readonly Pending[], chunkTokens: number, maxSequences: number): ChunkSlice[] {
  const chunk: ChunkSlice[] = []
  let room = chunkTokens
  for (const request of pending) {
    const { state, tokens, done } = request
    // Rows that are read by what was kept go one at a time, and a prompt that is watched has its chunks to itself.
    const alone = state.kept !== null || state.observed !== null
    if (alone && chunk.length > 0) continue
    const count = Math.min(state.kept ? 1 : room, tokens.length - done)
    if (count === 0) continue
    chunk.push({ request, state, tokens: tokens.subarray(done, done + count) })
    room -= count
    if (alone || room === 0 || chunk.length === maxSequences) break
  }
  return chunk
}

async function runChunk(parts: EngineParts, chunk: readonly ChunkSlice[], signal?: AbortSignal): Promise<void> {
  const rows = fillBatch(parts, chunk)
  const { state } = chunk[0] as ChunkSlice
  const run = { tokens: rows, sequences: chunk.length, ...(signal && { signal }) }
  if (state.observed) {
    state.observed = state.kept
      ? await runWatchedRow(parts, state, state.observed, signal)
      : await runWatched(parts, state, state.observed, rows, signal)
  } else if (state.kept) {
    parts.workspace.outputRows[0] = 0
    await parts.programs.decode.run({ ...run, outputs: 1, kept: [state.kept.native] })
  } else await parts.programs.prefill.run(run)
  await readLogits(parts, chunk, signal)
  commitBatch(chunk, state.kept === null)
  for (const { request, state, tokens } of chunk) {
    request.done += tokens.length
    await askRetain(parts, state, tokens, request.done === request.tokens.length, signal)
  }
}

/** Logits of the rows that somebody wants, as many rows at a time as the workspace holds. */
async function readLogits(parts: EngineParts, chunk: readonly ChunkSlice[], signal?: AbortSignal): Promise<void> {
  const { workspace, config, programs } = parts
  const wanted: { row: number; index: number; request: Pending }[] = []
  let row = 0
  for (const { request, state, tokens } of chunk) {
    const last = request.done + tokens.length === request.tokens.length ? tokens.length - 1 : -1
    for (let i = 0; i < tokens.length; i++, row++) {
      if (request.onLogits || i === last) wanted.push({ row, index: state.tokens.length + i, request })
    }
  }
  for (let start = 0; start < wanted.length; start += workspace.maxSequences) {
    const some = wanted.slice(start, start + workspace.maxSequences)
    some.forEach(({ row }, output) => {
      workspace.outputRows[output] = row
    })
    await programs.head.run({ tokens: 0, outputs: some.length, ...(signal && { signal }) })
    some.forEach(({ index, request }, output) => {
      const view = workspace.logits.subarray(output * config.vocabSize, (output + 1) * config.vocabSize)
      request.onLogits?.(index, view)
      request.logits = view.slice()
    })
  }
}

/** Shows the last rows of a sequence to its policy and keeps the sequence's text going. */
export async function askRetain(
  parts: EngineParts,
  state: SequenceState,
  tokens: Int32Array,
  last: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const pieces = Array.from(tokens, (token) => state.text?.push(token) ?? '')
  if (!state.session) return
  const start = state.tokens.length - tokens.length
  const kv = readerOf(state, state.tokens.length, parts.arena)
  const attention = last && state.observed ? attentionOf(parts, state, state.observed) : undefined
  const plan = await state.session.retain({
    tokens,
    pieces,
    start,
    last,
    kv,
    ...(attention && { attention }),
    ...(signal && { signal }),
  })
  if (plan.keep) state.kept = keepRows(parts, state.kept, plan.keep, state.tokens.length)
}
