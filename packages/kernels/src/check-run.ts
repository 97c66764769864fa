import { checkKeys, checkOneOf, OptionError, pageTokens, ShapeError } from '@kvasir/core'
import { CheckedKeptRows } from './checked-kept-rows.ts'
import { KernelError } from './errors.ts'
import { KernelSelector } from './kernel-selector.ts'
import type { RunOptions } from './kernels.ts'
import type { Extent } from './ops.ts'
import { checkEach } from './page-arena.ts'
import type { BatchUse, MassUse, PositionUse, ProgramNeeds } from './program-needs.ts'
import { ownResource } from './resource.ts'

/** What one run works on, complete and checked. */
export interface Run {
  readonly tokens: number
  readonly outputs: number
  readonly sequences: number
  /** One a sequence. */
  readonly selectors: readonly ('all' | 'given' | KernelSelector)[]
  /** One a sequence. */
  readonly kept: readonly (CheckedKeptRows | null)[]
  readonly leaves: readonly Float32Array[]
  readonly takesUp: readonly Float32Array[]
  readonly signal: AbortSignal | undefined
}

/** Throws unless buffers, indices, batches and selectors are valid for this run. */
export function checkRun(needs: ProgramNeeds, options: RunOptions): Run {
  checkKeys('run', options, [...['tokens', 'outputs', 'sequences', 'selectors', 'kept', 'leaves', 'takesUp', 'signal']])
  const { tokens, outputs = 0, sequences = 0, signal } = options
  for (const resource of needs.resources) resource.assertAlive('program')
  needs.checkBuffers()
  needs.checkExtent('tokens', tokens)
  needs.checkExtent('outputs', outputs)
  needs.checkExtent('sequences', sequences)

  const counts = { tokens, outputs, sequences }
  for (const use of needs.indices) checkEach(use.parameter, use.array, rowsOf(use.extent, counts), use.bound, use.what)
  for (const use of needs.batches) checkBatch(use, counts)
  for (const use of needs.placed) checkPositions(use, sequences)
  for (const use of needs.masses) checkMass(use, sequences)
  const [selectors, kept] = [checkSelectors(needs, options, sequences), checkKept(needs, options, sequences)]
  const [leaves, takesUp] = [checkNamed(needs, options, 'leaves'), checkNamed(needs, options, 'takesUp')]
  return { ...counts, signal, selectors, kept, leaves, takesUp }
}

export function rowsOf(extent: Extent, run: Pick<Run, 'tokens' | 'outputs' | 'sequences'>): number {
  return typeof extent === 'number' ? extent : run[extent]
}

function checkBatch({ parameter, batch, arena }: BatchUse, run: { tokens: number; sequences: number }): void {
  const { rowStarts, contextTokens, pageStarts, pages } = batch
  checkStarts(`${parameter}.rowStarts`, rowStarts, run.sequences, run.tokens)
  checkStarts(`${parameter}.pageStarts`, pageStarts, run.sequences, pages.length)
  for (let s = 0; s < run.sequences; s++) {
    const rows = (rowStarts[s + 1] as number) - (rowStarts[s] as number)
    const pagesHeld = (pageStarts[s + 1] as number) - (pageStarts[s] as number)
    const context = contextTokens[s] as number
    if (context >= rows && context <= pagesHeld * pageTokens) continue
    throw new KernelError({
      parameter: `${parameter}.contextTokens[${s}]`,
      expected: `in [${rows}, ${pagesHeld * pageTokens}]: at least its ${rows} rows, at most what its pages hold`,
      got: context,
    })
  }
  const numPages = pageStarts[run.sequences] as number
  checkEach(`${parameter}.pages`, pages, run.sequences > 0 ? numPages : 0, arena.capacityPages, 'a page of the arena')
}

/** Throws unless the positions of each sequence ascend and are rows that it holds. */
function checkPositions({ parameter, positions, batch }: PositionUse, sequences: number): void {
  for (let s = 0; s < sequences; s++) {
    let low = 0
    for (let r = batch.rowStarts[s] as number; r < (batch.rowStarts[s + 1] as number); r++) {
      const position = positions[r] as number
      if (position < low || position >= (batch.contextTokens[s] as number)) {
        const expected = `ascending rows of sequence ${s}, in [${low}, ${batch.contextTokens[s]})`
        throw new KernelError({ parameter: `${parameter}[${r}]`, expected, got: position })
      }
      low = position + 1
    }
  }
}

function checkMass({ parameter, batch, stride }: MassUse, sequences: number): void {
  if (sequences > 1) {
    throw new ShapeError({ parameter: 'sequences', expected: `at most 1: ${parameter} adds up one`, got: sequences })
  }
  const context = sequences === 1 ? (batch.contextTokens[0] as number) : 0
  if (context <= stride) return
  throw new ShapeError({ parameter: `${parameter}.massStride`, expected: `at least ${context}`, got: stride })
}

/** Throws unless starts[0 .. count] ascend from 0 and end at most at `end`. */
function checkStarts(parameter: string, starts: Int32Array, count: number, end: number): void {
  let last = 0
  for (let i = 0; i <= count && count > 0; i++) {
    const start = starts[i] as number
    if (i === 0 ? start !== 0 : start < last || start > end) {
      const expected = i === 0 ? '0' : `in [${last}, ${end}]`
      throw new KernelError({ parameter: `${parameter}[${i}]`, expected, got: start })
    }
    last = start
  }
}

function checkSelectors(needs: ProgramNeeds, options: RunOptions, sequences: number): Run['selectors'] {
  const given = options.selectors ?? Array.from({ length: sequences }, () => 'all' as const)
  if (given.length !== sequences) {
    throw new ShapeError({ parameter: 'selectors', expected: `one for each of ${sequences} sequences`, got: given })
  }
  const selectors = given.map((selector, s): Run['selectors'][number] => {
    if (typeof selector !== 'string') return checkSelector(needs, selector, s)
    return checkOneOf<'all' | 'given'>(`selectors[${s}]`, selector, ['all', 'given'])
  })
  for (const lists of needs.lists) {
    if (sequences <= lists.maxSequences) continue
    throw new OptionError({ parameter: 'sequences', expected: `at most ${lists.maxSequences} lists`, got: sequences })
  }
  return selectors
}

function checkKept(needs: ProgramNeeds, { kept }: RunOptions, sequences: number): Run['kept'] {
  if (kept === undefined) return Array.from({ length: sequences }, () => null)
  if (!Array.isArray(kept) || kept.length !== sequences) {
    throw new ShapeError({ parameter: 'kept', expected: `one for each of ${sequences} sequences`, got: kept })
  }
  return kept.map((rows: unknown, s) => {
    if (rows === null) return null
    const own = ownResource(`kept[${s}]`, rows, CheckedKeptRows, needs.owner)
    for (const { arena } of needs.batches) own.checkFits(`kept[${s}]`, arena)
    return own
  })
}

function checkNamed(needs: ProgramNeeds, options: RunOptions, parameter: 'leaves' | 'takesUp'): Float32Array[] {
  const buffers = [...(options[parameter] ?? [])]
  buffers.forEach((buffer, i) => {
    if (buffer instanceof Float32Array && needs.buffers.has(buffer)) return
    throw new OptionError({ parameter: `${parameter}[${i}]`, expected: 'a float buffer that an op names', got: buffer })
  })
  return buffers
}

function checkSelector(needs: ProgramNeeds, selector: unknown, s: number): KernelSelector {
  const parameter = `selectors[${s}]`
  const own = ownResource(parameter, selector, KernelSelector, needs.owner)
  for (const { batch, arena } of needs.batches) own.checkFits(parameter, arena, batch.contextTokens[s] as number)
  return own
}
