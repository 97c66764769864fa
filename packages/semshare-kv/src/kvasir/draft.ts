import { type BorrowedPiece, type Span, uncoveredRows } from '@kvasir/core'
import type { Dials } from './fidelities.ts'

/** What would be borrowed and computed. */
export interface Draft {
  readonly numTokens: number
  /** Rows from 0 on that are exact without being computed. */
  readonly exactTokens: number
  readonly pieces: readonly BorrowedPiece[]
  /** Rows computed at every layer, ascending. */
  readonly computed: Int32Array
  /** Further rows computed at the probe layers, ascending. */
  readonly probed: Int32Array
  /** Rows that are borrowed from other tokens. */
  readonly numFuzzy: number
  /** How many of `probed` go on after the probe layers, by deviation. */
  readonly numChosen: number
}

export interface DraftRequest {
  readonly numTokens: number
  readonly standingTokens: number
  /** What the donors have in common with the prompt. */
  readonly runs: readonly BorrowedPiece[]
  /** [numTokens]: 1 for tokens that carry facts. */
  readonly facts: Uint8Array
  /** Single rows between the runs, of other tokens. @default none */
  readonly fuzzy?: readonly BorrowedPiece[]
}

/** Borrows the exact prefix alone. */
export function draftPrefix({ numTokens, standingTokens, runs }: DraftRequest): Draft {
  const prefix = runs.filter((run) => isPrefix(run) && run.end > standingTokens)
  const computed = uncoveredRows(prefix, numTokens, standingTokens).rows
  const exactTokens = Math.max(standingTokens, prefix[0]?.end ?? 0)
  return { numTokens, exactTokens, pieces: prefix, computed, probed: none, numFuzzy: 0, numChosen: 0 }
}

/**
 * Borrows everything that is long enough. Computed all the same: what nobody lends, the first tokens of each run but the
 * prefix, tokens that carry facts near such a start, and the prompt's last tokens.
 */
export function draftRuns(request: DraftRequest, dials: Dials): Draft {
  const { numTokens, standingTokens, facts } = request
  const prefix = draftPrefix(request)
  const { exactTokens } = prefix
  const fewest = fewestStartTokens(request, exactTokens, dials)
  const tailStart = Math.max(exactTokens, numTokens - dials.tailTokens)
  const starts = new Map<BorrowedPiece, number>()
  for (const chain of chainsOf(request.runs, dials.contextTokens)) {
    const chainStartEnd = isPrefix(chain[0]) ? 0 : chain[0].start + startTokens(spanOf(chain), 1, dials)
    for (const run of chain.flatMap((run) => behind(run, exactTokens))) {
      const changed = changedContext(run, request.runs, dials.contextTokens)
      const count = Math.max(fewest, startTokens(run, changed, dials), chainStartEnd - run.start)
      if (Math.min(run.end, tailStart) - run.start > count) starts.set(run, count)
    }
  }
  const moved = [...starts.keys()].sort((a, b) => a.start - b.start)
  const fuzzy = (request.fuzzy ?? []).filter(({ start }) => start >= exactTokens && start < tailStart)
  const pieces = [...prefix.pieces, ...moved, ...fuzzy].sort((a, b) => a.start - b.start)
  const must = new Uint8Array(numTokens)
  for (const row of uncoveredRows(pieces, numTokens, standingTokens).rows) must[row] = 1
  must.fill(1, tailStart)
  for (const [{ start, end }, count] of starts) {
    must.fill(1, start, start + count)
    const reach = dials.factReachTokens === 'all' ? end : Math.min(end, start + dials.factReachTokens)
    for (let row = start; row < reach; row++) must[row] |= facts[row]
  }
  const lent = [...moved, ...fuzzy].flatMap(({ start, end }) => rowsWhere(must, 0, start, end)).sort((a, b) => a - b)
  const numBorrowed = moved.reduce((sum, { start, end }) => sum + end - start, fuzzy.length)
  const numChosen = Math.round(dials.deviationShare * numBorrowed) - (numBorrowed - lent.length)
  const probed = numChosen > 0 ? Int32Array.from(lent) : spread(lent, dials.probeRows)
  const computed = Int32Array.from(rowsWhere(must, 1, 0, numTokens))
  return { numTokens, exactTokens, pieces, computed, probed, numFuzzy: fuzzy.length, numChosen: Math.max(0, numChosen) }
}

/** Rows that are borrowed from the same tokens in another context. */
export function countMoved({ pieces, exactTokens, numFuzzy }: Draft): number {
  return pieces.reduce((sum, { start, end }) => (start < exactTokens ? sum : sum + end - start), -numFuzzy)
}

/** Rows that are computed at the probe layers. */
export function probedRows({ computed, probed }: Draft): Int32Array {
  return Int32Array.from([...computed, ...probed]).sort()
}

/** Passages: runs that follow one another in a donor about as they do in the prompt, with edits between them. */
export function chainsOf(runs: readonly BorrowedPiece[], contextTokens: number): BorrowedPiece[][] {
  const chains: BorrowedPiece[][] = []
  for (const run of runs) {
    const chain = chains.findLast((one) => continues(one[one.length - 1], run, contextTokens))
    if (chain) chain.push(run)
    else chains.push([run])
  }
  return chains
}

function continues(before: BorrowedPiece, run: BorrowedPiece, contextTokens: number): boolean {
  const gap = run.start - before.end
  const donorGap = run.donorStart - (before.donorStart + before.end - before.start)
  return before.donor === run.donor && gap < contextTokens && donorGap >= 0 && Math.abs(gap - donorGap) < contextTokens
}

/** A passage is off where it begins as one run of its length would be, however many edits it has. */
function spanOf(chain: readonly BorrowedPiece[]): Span {
  return { start: chain[0].start, end: chain[chain.length - 1].end }
}

/** KV deviates most where a run begins, and hardly where most of the tokens before it are those of the donor. */
function startTokens({ start, end }: Span, changed: number, { startShare, startMaxTokens }: Dials): number {
  return Math.min(startMaxTokens, Math.round(startShare * changed ** 2 * (end - start)))
}

/** Behind few edits more is computed: the rows that have just read what the donor says instead. */
function fewestStartTokens({ runs, numTokens }: DraftRequest, exactTokens: number, dials: Dials): number {
  const { editShare, startMinTokens } = dials
  const numEdits = runs.filter(({ end }) => end > exactTokens).length
  return Math.max(startMinTokens, Math.min(maxEditTokens, Math.floor((editShare * numTokens) / numEdits)))
}

/** About the rest of a sentence. */
const maxEditTokens = 16

/** Share of the `contextTokens` places before a run whose tokens do not stand before it in its donor as well. */
export function changedContext(run: BorrowedPiece, runs: readonly BorrowedPiece[], contextTokens: number): number {
  const by = run.start - run.donorStart
  let same = 0
  for (const { donor, start, end, donorStart } of runs) {
    const isBefore =
      donor === run.donor && donorStart < run.donorStart && Math.abs(start - donorStart - by) < contextTokens
    if (isBefore) same += Math.max(0, Math.min(end, run.start) - Math.max(start, run.start - contextTokens))
  }
  return 1 - same / contextTokens
}

function isPrefix({ start, donorStart }: BorrowedPiece): boolean {
  return start === 0 && donorStart === 0
}

/** What of the run lies behind `row`. */
function behind(run: BorrowedPiece, row: number): BorrowedPiece[] {
  if (run.end <= row) return []
  const cut = Math.max(0, row - run.start)
  return [{ ...run, start: run.start + cut, donorStart: run.donorStart + cut }]
}

function rowsWhere(mask: Uint8Array, value: number, start: number, end: number): number[] {
  const rows: number[] = []
  for (let row = start; row < end; row++) if (mask[row] === value) rows.push(row)
  return rows
}

/** At most `count` of the rows, as far apart as can be. */
function spread(rows: readonly number[], count: number): Int32Array {
  if (rows.length <= count) return Int32Array.from(rows)
  return Int32Array.from({ length: count }, (_, i) => rows[Math.floor(((i + 0.5) * rows.length) / count)])
}

const none = new Int32Array(0)
