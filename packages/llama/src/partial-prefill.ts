import type { Decline, LayerReport, ReusePlan } from '@kvasir/core'
import type { RunOptions } from '@kvasir/kernels'
import type { EngineParts } from './engine-parts.ts'
import { LayerLending } from './layer-lending.ts'
import type { LendingFailure, LentRows } from './lent-rows.ts'
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
  readonly lending: LayerLending
  /** Runs that were started and not yet waited for. */
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
  const borrowers = all.map((one) => ({
    lent: one.request.lent,
    wanted: () => one.outcome === null,
    fail: (failure: LendingFailure) => {
      one.outcome = failure
    },
  }))
  const lending = new LayerLending(parts, borrowers, signal)
  const run: PartialRun = { parts, all, lending, work: new PendingWork(), signal }
  const watchedLayers = watching === 'nothing' ? 0 : Math.max(...requests.map((one) => watchedOf(one, parts)))
  try {
    for (let layer = 0; layer < watchedLayers; layer++) await runLayer(run, layer, watching)
    const chunks = cutChunks(run, 'nothing')
    if (chunks.length === 1) await runResident(run, watchedLayers, chunks[0] as PartialSlice[])
    else for (let layer = watchedLayers; layer < parts.config.numLayers; layer++) await runLayer(run, layer, 'nothing')
    await lending.arrived()
  } finally {
    await lending.settle()
    await run.work.settle()
    for (const { lent } of requests) lent.close()
  }
  return all.map(({ outcome, computedPairs }) => ({ outcome: outcome as PartialResult['outcome'], computedPairs }))
}

type HandedOn = Pick<RunOptions, 'leaves' | 'takesUp'>

/** Layers after which the session is asked; it has nothing to say of the rows behind the last one. */
function watchedOf({ plan }: PartialRequest, { config }: EngineParts): number {
  return Math.min(plan.watchLayers ?? config.numLayers, config.numLayers - 1)
}

/**
 * From `firstLayer` on, all rows stay in the workspace, and their residual stream where it is computed: nothing is waited
 * for but the donors' bytes.
 */
async function runResident(run: PartialRun, firstLayer: number, chunk: readonly PartialSlice[]): Promise<void> {
  const { parts, lending, work } = run
  const residual = [parts.workspace.hidden]
  loadRows(parts, chunk)
  for (let layer = firstLayer; layer < parts.config.numLayers; layer++) {
    await lending.begin(layer + 1)
    const handedOn = { leaves: residual, takesUp: layer > firstLayer ? residual : [] }
    runChunk(run, { layer, chunk, watching: 'nothing' }, handedOn)
    for (const { of } of chunk) (of as Computing).computedPairs += of.rows.length
  }
  await work.drain()
  await readLastRows(run, chunk, { takesUp: residual })
}

/** The rows of a layer go through the workspace in chunks; then sessions say which of them the next layer needs. */
async function runLayer(run: PartialRun, layer: number, watching: PartialWatching): Promise<void> {
  const { parts, all, lending, work } = run
  await lending.begin(layer + 1)
  const reports = new LayerReports(parts, layer, watching)
  for (const chunk of cutChunks(run, watching)) {
    run.signal?.throwIfAborted()
    loadRows(parts, chunk)
    reports.begin(chunk)
    runChunk(run, { layer, chunk, watching })
    await work.drain()
    storeRows(parts, chunk)
    reports.take(chunk)
    if (layer === parts.config.numLayers - 1) await readLastRows(run, chunk)
  }
  for (const one of all) {
    if (one.outcome !== null && !(one.outcome instanceof Float32Array)) continue
    one.computedPairs += one.rows.length
    const asked = watching !== 'nothing' && layer < watchedOf(one.request, parts)
    if (asked) askNext(one, reports.of(one, one.request.lent.lent))
  }
}

/** Rows of the prompts that are still under way. */
function cutChunks({ parts: { workspace }, all }: PartialRun, watching: PartialWatching): PartialSlice[][] {
  const going = all.filter(({ outcome }) => outcome === null)
  return cutRows(going, workspace.maxRows, watching === 'attention' ? 1 : workspace.maxSequences)
}

function runChunk(
  { parts, work, signal }: PartialRun,
  { layer, chunk, watching }: { layer: number; chunk: readonly PartialSlice[]; watching: PartialWatching },
  handedOn: HandedOn = {},
): void {
  const tokens = chunk.reduce((sum, { from, to }) => sum + to - from, 0)
  const counts = { tokens, sequences: chunk.length, ...(signal && { signal }) }
  work.add(
    parts.programs
      .partial()
      .layer(layer, watching)
      .run({ ...counts, ...handedOn }),
  )
}

function askNext(one: Computing, report: LayerReport): void {
  const next = one.state.session?.recompute(report) ?? report.rows
  if ('kind' in next) one.outcome = next
  else if (next !== report.rows) narrowRows(one, next.rows)
}

/** Logits of the prompts whose last row is in the chunk that the workspace holds. */
async function readLastRows(
  { parts, signal }: PartialRun,
  chunk: readonly PartialSlice[],
  handedOn: HandedOn = {},
): Promise<void> {
  const { workspace, programs, config } = parts
  const ending: Computing[] = []
  let row = 0
  for (const { of, from, to } of chunk) {
    row += to - from
    if (to < of.rows.length) continue
    workspace.outputRows[ending.length] = row - 1
    ending.push(of as Computing)
  }
  await programs.head.run({ tokens: 0, outputs: ending.length, ...handedOn, ...(signal && { signal }) })
  ending.forEach((one, output) => {
    one.outcome ??= workspace.logits.slice(output * config.vocabSize, (output + 1) * config.vocabSize)
  })
}
