import { countRunTokens, type Selection, type StepView } from '@kvasir/core'
import type { CountingSelector, RunOptions } from '@kvasir/kernels'
import { commitBatch, fillBatch } from './batch.ts'
import type { EngineParts } from './engine-parts.ts'
import { checkRequest } from './request-checks.ts'
import { readerOf, type SequenceState } from './sequence-state.ts'

/** One token to append to one sequence, under its policy. */
export interface DecodeStep {
  readonly state: SequenceState
  readonly token: number
}

type Selectors = NonNullable<RunOptions['selectors']>[number][]

/** Appends one token a sequence, all in one pass over the weights, and returns the logits that follow each. */
export async function decode(
  parts: EngineParts,
  steps: readonly DecodeStep[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const { workspace, config, programs } = parts
  signal?.throwIfAborted()
  const slices = steps.map(({ state, token }) => ({ state, tokens: checkRequest(parts, state, [token]) }))
  fillBatch(parts, slices)
  steps.forEach((_, row) => {
    workspace.outputRows[row] = row
  })
  const run: RunOptions = {
    tokens: steps.length,
    outputs: steps.length,
    sequences: steps.length,
    ...(signal && { signal }),
  }
  if (steps.some(({ state }) => asksPerLayer(state))) await runCuts(parts, steps, run)
  else await programs.decode.run({ ...run, selectors: steps.map((step, row) => stepSelector(parts, step, row)) })
  const logits = steps.map((_, row) => workspace.logits.slice(row * config.vocabSize, (row + 1) * config.vocabSize))
  commitBatch(slices, false)
  for (const { state, token } of steps) {
    state.counts.decodeSteps++
    await askAppend(parts, state, token, signal)
  }
  return logits
}

/** One native call a layer: the policies that ask for it choose by the layer's queries in between. */
async function runCuts(parts: EngineParts, steps: readonly DecodeStep[], run: RunOptions): Promise<void> {
  const { config, programs, workspace } = parts
  const width = config.numHeads * config.headDim
  const fixed = steps.map((step, row) => (asksPerLayer(step.state) ? null : stepSelector(parts, step, row)))
  let selectors: Selectors = steps.map((_, row) => fixed[row] ?? 'all')
  for (const [cut, program] of programs.cuts().entries()) {
    await program.run({ ...run, selectors })
    if (cut === config.numLayers) break
    selectors = steps.map((step, row) => {
      const chosen = fixed[row]
      if (chosen) return chosen
      const queries = workspace.q.slice(row * width, (row + 1) * width)
      return applySelection(parts, step.state, row, askSelect(parts, step, cut, queries), 1)
    })
  }
}

/** The selector that serves all layers of this step. */
function stepSelector(parts: EngineParts, step: DecodeStep, row: number): Selectors[number] {
  return applySelection(parts, step.state, row, askSelect(parts, step, null, null), parts.config.numLayers)
}

function askSelect(
  parts: EngineParts,
  { state, token }: DecodeStep,
  layer: number | null,
  queries: Float32Array | null,
): Selection {
  if (!state.session) return { kind: 'all' }
  const numTokens = state.tokens.length + 1
  const piece = state.text?.peek(token) ?? ''
  const view: StepView = { layer, numTokens, queries, piece, kv: readerOf(state, numTokens, parts.arena) }
  return state.session.select(view)
}

/** Hands a selection to the kernels and counts what attention will read. */
function applySelection(
  parts: EngineParts,
  state: SequenceState,
  row: number,
  selection: Selection,
  numLayers: number,
): Selectors[number] {
  switch (selection.kind) {
    case 'all':
      state.counts.attendedTokens += (state.tokens.length + 1) * parts.config.numKvHeads * numLayers
      state.counts.denseSteps += numLayers / parts.config.numLayers
      return 'all'
    case 'runs':
      parts.lists.set(row, selection.runs)
      state.counts.attendedTokens += countRunTokens(selection.runs) * numLayers
      return 'given'
    case 'native':
      state.selectors.add(selection.selector as CountingSelector)
      return selection.selector
  }
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
