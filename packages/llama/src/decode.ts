import { countRunTokens, type RunList, type Selection, type StepView } from '@kvasir/core'
import type { CountingSelector, RunOptions } from '@kvasir/kernels'
import { commitBatch, fillBatch } from './batch.ts'
import type { EngineParts } from './engine-parts.ts'
import { countChosen, countHeld, heldList } from './kept-rows.ts'
import { releaseStandIns, type StandIns, standIn } from './moved-rows.ts'
import { checkRequest } from './request-checks.ts'
import { readerOf, type SequenceState, weightsOf } from './sequence-state.ts'
import { totalsOf } from './sequence-totals.ts'

/** What attention read at one layer of one step. */
export interface SelectedView {
  readonly layer: number
  readonly numTokens: number
  /** A row a KV head, or a query head where the policy chose so. */
  readonly runs: RunList
  /** [numHeads / numKvHeads][indices.length]: softmax weights of the step's queries over these rows alone. */
  weights(kvHead: number, indices: Int32Array): Float32Array
}

/** One token to append to one sequence, under its policy. */
export interface DecodeStep {
  readonly state: SequenceState
  readonly token: number
  /** Shows what was selected at each layer; the step then runs layer by layer, and slower. */
  readonly onSelected?: (view: SelectedView) => void
}

type Selectors = NonNullable<RunOptions['selectors']>[number][]

/** Appends one token a sequence, all in one pass over the weights, and returns the logits that follow each. */
export async function decode(
  parts: EngineParts,
  steps: readonly DecodeStep[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const { workspace, config } = parts
  signal?.throwIfAborted()
  const slices = steps.map(({ state, token }) => ({ state, tokens: checkRequest(parts, state, [token]) }))
  const before = steps.map(({ state }) => totalsOf(state))
  fillBatch(parts, slices)
  steps.forEach((_, row) => {
    workspace.outputRows[row] = row
  })
  const standIns = steps.map((): StandIns => new Map())
  try {
    await runStep({ parts, steps, standIns, signal })
  } finally {
    for (const pages of standIns) releaseStandIns(parts, pages)
  }
  const logits = steps.map((_, row) => workspace.logits.slice(row * config.vocabSize, (row + 1) * config.vocabSize))
  commitBatch(slices, false)
  for (const [row, { state, token }] of steps.entries()) {
    state.counts.decodeSteps++
    notePeaks(state, before[row] as ReturnType<typeof totalsOf>)
    await askAppend(parts, state, token, signal)
  }
  return logits
}

/** One decode pass under way. */
interface Pass {
  readonly parts: EngineParts
  readonly steps: readonly DecodeStep[]
  /** A sequence each: pages that stand in for those of moved rows. */
  readonly standIns: StandIns[]
  readonly signal: AbortSignal | undefined
}

async function runStep(pass: Pass): Promise<void> {
  const { parts, steps } = pass
  if (steps.some(({ state, onSelected }) => asksPerLayer(state) || onSelected)) return runCuts(pass)
  const selectors: Selectors = []
  for (let row = 0; row < steps.length; row++) selectors.push(await stepSelector(pass, row))
  await parts.programs.decode.run({ ...runOptions(pass), selectors })
}

function runOptions({ steps, signal }: Pass): RunOptions {
  const count = steps.length
  const kept = steps.map(({ state }) => state.kept?.native ?? null)
  return { tokens: count, outputs: count, sequences: count, kept, ...(signal && { signal }) }
}

/** One native call a layer: the policies that ask for it choose by the layer's queries in between. */
async function runCuts(pass: Pass): Promise<void> {
  const { parts, steps } = pass
  const { config, programs, workspace, lists } = parts
  const width = config.numHeads * config.headDim
  const fixed: Selectors = []
  for (const [row, { state }] of steps.entries()) {
    fixed.push(asksPerLayer(state) ? 'all' : await stepSelector(pass, row))
  }
  let selectors = fixed
  let queries: Float32Array[] = []
  for (const [cut, program] of programs.cuts().entries()) {
    await program.run({ ...runOptions(pass), selectors })
    if (cut > 0) {
      steps.forEach(({ state, onSelected }, row) => {
        if (!onSelected) return
        const [layer, numTokens] = [cut - 1, state.tokens.length + 1]
        const weights = weightsOf(parts, state, layer, queries[row] as Float32Array)
        onSelected({ layer, numTokens, runs: lists.get(row), weights })
      })
    }
    if (cut === config.numLayers) break
    queries = steps.map((_, row) => workspace.q.slice(row * width, (row + 1) * width))
    selectors = [...fixed]
    for (const [row, step] of steps.entries()) {
      if (!asksPerLayer(step.state)) continue
      const selection = askSelect(parts, step, cut, queries[row] as Float32Array)
      selectors[row] = await applySelection(pass, row, selection, cut)
    }
  }
}

/** The selector that serves all layers of this step. */
function stepSelector(pass: Pass, row: number): Promise<Selectors[number]> {
  const step = pass.steps[row] as DecodeStep
  return applySelection(pass, row, askSelect(pass.parts, step, null, null), null)
}

function askSelect(
  parts: EngineParts,
  { state, token }: DecodeStep,
  layer: number | null,
  queries: Float32Array | null,
): Selection {
  if (!state.session) return { kind: 'all' }
  const numTokens = state.tokens.length + 1
  const kv = readerOf(state, numTokens, parts.arena)
  const view: StepView = {
    layer,
    numTokens,
    queries,
    piece: state.text?.peek(token) ?? '',
    kv,
    ...(layer !== null && queries && { weights: weightsOf(parts, state, layer, queries) }),
  }
  return state.session.select(view)
}

/** Hands a selection of one layer (null: of all) to the kernels and counts what attention will read. */
async function applySelection(
  pass: Pass,
  row: number,
  selection: Selection,
  layer: number | null,
): Promise<Selectors[number]> {
  const { parts, steps } = pass
  const { state } = steps[row] as DecodeStep
  switch (selection.kind) {
    case 'all':
      state.counts.attendedTokens += countAll(parts, state, layer)
      state.counts.denseSteps += layer === null ? 1 : 1 / parts.config.numLayers
      return 'all'
    case 'runs':
      parts.lists.set(row, selection.runs)
      await showStandIns(pass, row, selection)
      state.counts.attendedTokens += countRuns(parts, state, layer, selection.runs)
      return 'given'
    case 'native':
      state.selectors.add(selection.selector as CountingSelector)
      return selection.selector
  }
}

/** Makes the page table of a sequence name the stand-ins of what the selection moved. */
async function showStandIns(pass: Pass, row: number, { moved }: Selection & { kind: 'runs' }): Promise<void> {
  const { parts, steps, standIns } = pass
  const before = standIns[row] as StandIns
  if (!moved?.length && before.size === 0) return
  const { state } = steps[row] as DecodeStep
  const { batch } = parts.workspace
  const first = batch.pageStarts[row] as number
  releaseStandIns(parts, before)
  const pages = await standIn(parts, state, moved ?? [])
  standIns[row] = pages
  batch.pages.set(state.pages, first)
  for (const [page, own] of pages) batch.pages[first + page] = own
}

function countAll({ config }: EngineParts, state: SequenceState, layer: number | null): number {
  const numTokens = state.tokens.length + 1
  const { kept } = state
  if (!kept) return numTokens * config.numKvHeads * (layer === null ? config.numLayers : 1)
  return layer === null ? countHeld(kept, numTokens) : countRunTokens(heldList(kept, layer, numTokens))
}

/** A list with a row a query head counts as the mean of its groups: a budget is what one query head reads. */
function countRuns({ config }: EngineParts, { kept }: SequenceState, layer: number | null, runs: RunList): number {
  const layers = layer === null ? Array.from({ length: config.numLayers }, (_, at) => at) : [layer]
  if (kept) return layers.reduce((sum, at) => sum + countChosen(kept, at, runs), 0)
  return (countRunTokens(runs) * layers.length * config.numKvHeads) / (runs.rowStarts.length - 1)
}

function notePeaks(state: SequenceState, before: ReturnType<typeof totalsOf>): void {
  const { counts } = state
  const { attendedTokens, pooledTokens } = totalsOf(state)
  counts.peakAttendedTokens = Math.max(counts.peakAttendedTokens, attendedTokens - before.attendedTokens)
  counts.peakPooledTokens = Math.max(counts.peakPooledTokens, pooledTokens - before.pooledTokens)
}

function asksPerLayer(state: SequenceState): boolean {
  return state.session !== null && state.selectScope === 'layer'
}

async function askAppend(parts: EngineParts, state: SequenceState, token: number, signal?: AbortSignal): Promise<void> {
  const piece = state.text?.push(token) ?? ''
  if (!state.session) return
  const index = state.tokens.length - 1
  await state.session.append({
    token,
    piece,
    index,
    kv: readerOf(state, state.tokens.length, parts.arena),
    ...(signal && { signal }),
  })
}
