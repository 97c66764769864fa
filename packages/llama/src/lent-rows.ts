import {
  type BorrowedPiece,
  type DonorKv,
  formatDifference,
  IntegrityError,
  KvasirError,
  type ReusePlan,
  type RowSet,
} from '@kvasir/core'
import type { KeyTurns } from '@kvasir/kernels'
import { turnTable } from '@kvasir/rope'
import type { EngineParts } from './engine-parts.ts'
import { type SequenceState, slotOf } from './sequence-state.ts'

/** The donors of a plan, held open, and which of their rows go where. */
export interface LentRows {
  readonly donors: readonly LentDonor[]
  /** [numTokens]: 1 for rows of the prompt that somebody lends. */
  readonly lent: Uint8Array
  /** Rows from 0 on that are as a full prefill would have them. */
  readonly exactTokens: number
  close(): void
}

interface LentDonor {
  readonly kv: DonorKv
  readonly sourceRows: Int32Array
  /** Where they go: physical page * 16 + offset. */
  readonly slots: Int32Array
  readonly turns: KeyTurns
}

/** Rows cannot be lent: the prompt is computed in full, and the reason is told. */
export class LendingFailure {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/**
 * Opens the donors of a plan for a sequence that has room for the prompt, and checks that they fit this engine. Rows of `skip` are not taken over: they are computed
 * at every layer.
 */
export async function openLent(
  parts: EngineParts,
  state: SequenceState,
  { plan, tokens, skip }: { readonly plan: ReusePlan; readonly tokens: Int32Array; readonly skip: RowSet | null },
  signal?: AbortSignal,
): Promise<LentRows | LendingFailure> {
  const open = new Map<string, DonorKv>()
  const close = () => {
    for (const donor of open.values()) donor.close()
  }
  try {
    for (const { donor: id } of plan.pieces) {
      if (open.has(id)) continue
      const donor = await openDonor(parts, state, id, signal)
      if (donor instanceof LendingFailure) return closed(close, donor)
      open.set(id, donor)
    }
    const failure = checkPieces(plan, tokens, open)
    if (failure) return closed(close, failure)
    const lent = lentMask(plan.pieces, tokens.length, state.tokens.length, skip)
    const donors = [...open].map(([id, kv]) => rowsOfDonor(parts, state, plan, { id, kv, lent }))
    return { donors, lent, exactTokens: exactRows(plan, tokens, state.tokens.length, open), close }
  } catch (error) {
    close()
    throw error
  }
}

async function openDonor(
  { donors, profile }: EngineParts,
  state: SequenceState,
  id: string,
  signal: AbortSignal | undefined,
): Promise<DonorKv | LendingFailure> {
  try {
    const donor = (await donors?.open(id, state.scope, signal)) ?? null
    if (donor === null) return new LendingFailure(`donor ${id} is gone`)
    const difference = profile.format && formatDifference(profile.format, donor.format)
    if (difference === null) return donor
    donor.close()
    return new LendingFailure(`donor ${id} is of another kind: ${difference}`)
  } catch (error) {
    return lendingFailureOf(error, `donor ${id}`, signal)
  }
}

/** What a store throws fails the loan, not the prompt; an abort and what the caller got wrong is thrown on. */
export function lendingFailureOf(error: unknown, donor: string, signal?: AbortSignal): LendingFailure {
  if (error instanceof IntegrityError) return new LendingFailure(`${donor} is damaged: ${error.message}`)
  if (signal?.aborted || error instanceof KvasirError || !(error instanceof Error)) throw error
  return new LendingFailure(`${donor} could not be read: ${error.message}`)
}

function closed(close: () => void, failure: LendingFailure): LendingFailure {
  close()
  return failure
}

/** Rows that the donors do not have; tokens that are others where the plan calls itself exact. */
function checkPieces(
  { pieces, provenance }: ReusePlan,
  tokens: Int32Array,
  open: ReadonlyMap<string, DonorKv>,
): LendingFailure | null {
  for (const { donor, donorStart, start, end } of pieces) {
    const lent = (open.get(donor) as DonorKv).tokens
    const last = donorStart + end - start
    if (last > lent.length) return new LendingFailure(`donor ${donor} has ${lent.length} rows, not ${last}`)
    if (provenance.kind !== 'exact') continue
    for (let i = start; i < end; i++) {
      if (tokens[i] !== lent[donorStart + i - start]) return new LendingFailure(`donor ${donor} has other tokens`)
    }
  }
  return null
}

/** Those before the first that is lent from elsewhere, or from a donor that has read another token up to there. */
function exactRows(
  { pieces }: ReusePlan,
  tokens: Int32Array,
  standingTokens: number,
  open: ReadonlyMap<string, DonorKv>,
): number {
  let exact = tokens.length
  for (const { donor, donorStart, start, end } of pieces) {
    if (end <= standingTokens) continue
    const lent = (open.get(donor) as DonorKv).tokens
    let same = start
    if (start === 0 && donorStart === 0) while (same < end && tokens[same] === lent[same]) same++
    if (same < end) exact = Math.min(exact, same)
  }
  return Math.max(standingTokens, exact)
}

/** Which rows are taken over: those of the pieces that do not stand yet and that `skip` does not hold. */
function lentMask(
  pieces: readonly BorrowedPiece[],
  numTokens: number,
  standingTokens: number,
  skip: RowSet | null,
): Uint8Array {
  const lent = new Uint8Array(numTokens)
  for (const piece of pieces) lent.fill(1, piece.start, piece.end)
  lent.fill(0, 0, standingTokens)
  for (const row of skip?.rows ?? []) lent[row] = 0
  return lent
}

function rowsOfDonor(
  { config }: EngineParts,
  state: SequenceState,
  { pieces, keys }: ReusePlan,
  { id, kv, lent }: { readonly id: string; readonly kv: DonorKv; readonly lent: Uint8Array },
): LentDonor {
  const [sourceRows, slots, rowTurns]: [number[], number[], number[]] = [[], [], []]
  const turnOf = new Map<number, number>()
  for (const piece of pieces) {
    if (piece.donor !== id) continue
    const by = piece.start - piece.donorStart
    if (by !== 0 && keys !== 'stored' && !turnOf.has(by)) turnOf.set(by, turnOf.size)
    const turn = keys === 'stored' ? -1 : (turnOf.get(by) ?? -1)
    for (let row = piece.start; row < piece.end; row++) {
      if (!lent[row]) continue
      sourceRows.push(row - by)
      slots.push(slotOf(state, row))
      rowTurns.push(turn)
    }
  }
  const { rope } = config
  const { cos, sin } = turnTable(
    rope,
    [...turnOf.keys()].map((by) => ({ from: Math.max(0, -by), to: Math.max(0, by) })),
  )
  return {
    kv,
    sourceRows: Int32Array.from(sourceRows),
    slots: Int32Array.from(slots),
    turns: { cos, sin, pairing: rope.pairing, rotaryDim: rope.rotaryDim, rowTurns: Int32Array.from(rowTurns) },
  }
}

/** The bytes of one layer of a donor, and which of its rows go where. */
export interface FetchedRows extends Omit<LentDonor, 'kv'> {
  readonly source: Uint8Array
  readonly sourceTokens: number
}

/** Throws IntegrityError for damaged bytes. */
export async function fetchLayer({ donors }: LentRows, layer: number, signal?: AbortSignal): Promise<FetchedRows[]> {
  const fetched: FetchedRows[] = []
  for (const { kv, ...rows } of donors) {
    if (rows.slots.length === 0) continue
    fetched.push({ ...rows, source: await kv.layer(layer, signal), sourceTokens: kv.tokens.length })
  }
  return fetched
}

/** Starts taking rows over; the promises settle once they stand. */
export function adoptFetched(
  { kernels, arena }: EngineParts,
  fetched: readonly FetchedRows[],
  layer: number,
  signal?: AbortSignal,
): Promise<void>[] {
  return fetched.map((rows) => kernels.adoptRows({ arena, layer, ...rows, ...(signal && { signal }) }))
}
