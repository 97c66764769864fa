import { type Decline, IntegrityError, type LayerReport, type ReusePlan } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import { adoptLayer, LendingFailure, type LentRows } from './lent-rows.ts'
import type { PartialWatching } from './partial-programs.ts'
import { LayerReports } from './partial-reports.ts'
import {
  cutRows,
  loadRows,
  narrowRows,
  type PartialRows,
  type PartialSlice,
  partialRows,
  storeRows,
} from './partial-rows.ts'
import { PendingWork } from './pending-work.ts'
import type { SequenceState } from './sequence-state.ts'

/** A prompt of which only some rows are computed, in a sequence that has room for all of it. */
export interface PartialRequest {
  readonly state: SequenceState
  /** The whole prompt. */
  readonly tokens: Int32Array
  readonly plan: ReusePlan
  readonly lent: LentRows
}

export interface PartialResult {
  /** After the last token; a failure or decline where the prompt must be computed in full after all. */
  readonly outcome: Float32Array | LendingFailure | Decline
  /** (token, layer) pairs that were computed. */
  readonly computedPairs: number
}

interface Computing extends PartialRows {
  readonly request: PartialRequest
  computedPairs: number
  outcome: PartialResult['outcome'] | null
}

interface PartialRun {
  readonly parts: EngineParts
  readonly all: readonly Computing[]
  readonly watching: PartialWatching
  /** Native jobs that were started and not yet waited for. */
  readonly work: PendingWork
  readonly signal: AbortSignal | undefined
}

/**
 * Computes the rows that the plans name, layer by layer, over the rows that donors lend; the rows of several prompts share
 * each pass over the weights. A row has the bits that a full prefill gives it over the same KV. The states are not told:
 * commit the tokens of those that came through.
 */
export async function partialPrefill(
  parts: EngineParts,
  requests: readonly PartialRequest[],
  watching: PartialWatching,
  signal?: AbortSignal,
): Promise<PartialResult[]> {
  const all = requests.map((request): Computing => {
    const { state, tokens, plan } = request
    return { ...partialRows(parts, state, tokens, plan.recompute.rows), request, computedPairs: 0, outcome: null }
  })
  const run: PartialRun = { parts, all, watching, work: new PendingWork(), signal }
  try {
    const chunks = cutChunks(run)
    if (watching === 'nothing' && chunks.length === 1) await runResident(run, chunks[0] as PartialSlice[])
    else await runLayerwise(run)
    await run.work.drain()
  } finally {
    await run.work.settle()
    for (const { lent } of requests) lent.close()
  }
  return all.map(({ outcome, computedPairs }) => ({ outcome: outcome as PartialResult['outcome'], computedPairs }))
}

/** All rows stay in the workspace: nothing is waited for but the donors' bytes. */
async function runResident(run: PartialRun, chunk: readonly PartialSlice[]): Promise<void> {
  const { parts, all } = run
  loadRows(parts, chunk)
  for (let layer = 0; layer < parts.config.numLayers; layer++) {
    await lend(run, layer)
    runChunk(run, layer, chunk)
  }
  await run.work.drain()
  await readLastRows(run, chunk)
  for (const one of all) one.computedPairs = one.rows.length * parts.config.numLayers
}

/** The rows of a layer go through the workspace in chunks; then sessions say which of them the next layer needs. */
async function runLayerwise(run: PartialRun): Promise<void> {
  const { parts, watching, work } = run
  const last = parts.config.numLayers - 1
  for (let layer = 0; layer <= last; layer++) {
    await lend(run, layer)
    const reports = new LayerReports(parts, layer, watching)
    for (const chunk of cutChunks(run)) {
      run.signal?.throwIfAborted()
      loadRows(parts, chunk)
      reports.begin(chunk)
      runChunk(run, layer, chunk)
      await work.drain()
      storeRows(parts, chunk)
      reports.take(chunk)
      if (layer === last) await readLastRows(run, chunk)
    }
    for (const one of run.all) {
      if (one.outcome instanceof LendingFailure) continue
      one.computedPairs += one.rows.length
      if (layer < last && watching !== 'nothing') askNext(one, reports.of(one, one.request.lent.lent))
    }
  }
}

/** Rows of the prompts that are still under way. */
function cutChunks({ parts: { workspace }, all, watching }: PartialRun): PartialSlice[][] {
  const going = all.filter(({ outcome }) => outcome === null)
  return cutRows(going, workspace.maxRows, watching === 'attention' ? 1 : workspace.maxSequences)
}

/** Takes the borrowed rows of a layer over, of each prompt that is still under way. */
async function lend({ parts, all, work, signal }: PartialRun, layer: number): Promise<void> {
  for (const one of all) {
    if (one.outcome !== null) continue
    try {
      for (const started of await adoptLayer(parts, one.request.lent, layer, signal)) work.add(started)
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error
      one.outcome = new LendingFailure(`a donor is damaged: ${error.message}`)
    }
  }
}

function runChunk({ parts, watching, work, signal }: PartialRun, layer: number, chunk: readonly PartialSlice[]): void {
  const tokens = chunk.reduce((sum, { from, to }) => sum + to - from, 0)
  const counts = { tokens, sequences: chunk.length, ...(signal && { signal }) }
  work.add(parts.programs.partial().layer(layer, watching).run(counts))
}

function askNext(one: Computing, report: LayerReport): void {
  const next = one.state.session?.recompute(report) ?? report.rows
  if ('kind' in next) one.outcome = next
  else if (next !== report.rows) narrowRows(one, next.rows)
}

/** Logits of the prompts whose last row is in the chunk that the workspace holds. */
async function readLastRows({ parts, signal }: PartialRun, chunk: readonly PartialSlice[]): Promise<void> {
  const { workspace, programs, config } = parts
  const ending: Computing[] = []
  let row = 0
  for (const { of, from, to } of chunk) {
    row += to - from
    if (to < of.rows.length) continue
    workspace.outputRows[ending.length] = row - 1
    ending.push(of as Computing)
  }
  await programs.head.run({ tokens: 0, outputs: ending.length, ...(signal && { signal }) })
  ending.forEach((one, output) => {
    one.outcome ??= workspace.logits.slice(output * config.vocabSize, (output + 1) * config.vocabSize)
  })
}
