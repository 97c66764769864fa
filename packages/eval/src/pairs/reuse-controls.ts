import {
  type BorrowedPiece,
  type CachePolicy,
  checkNumber,
  checkOneOf,
  type LayerReport,
  type PolicySession,
  type ReusePlan,
} from '@kvasir/core'
import { scattered } from '../random-numbers.ts'

/**
 * What a reuse is spoilt by, to see what it is worth. `random-map`: each borrowed row is taken from a row of its donor
 * drawn by lot. `zeroed`: the donor's rows are zeros. `unmoved`: keys keep the rotation they were stored with.
 */
type ReuseControl = 'random-map' | 'zeroed' | 'unmoved'

const reuseControls: readonly ReuseControl[] = ['random-map', 'zeroed', 'unmoved']

export interface ControlOptions {
  /** @default none */
  readonly control?: ReuseControl
  /**
   * Share of the borrowed rows that are computed all the same, at every layer, in place of the policy's own choice: those
   * nearest to the start of their run first. 0: only what nobody lent; 1: every row.
   * @default as the policy chooses
   */
  readonly recompute?: number
}

/** A policy as it is but for the control. Throws OptionError for a control that there is not. */
export function withControls(policy: CachePolicy, { control, recompute }: ControlOptions): CachePolicy {
  if (control !== undefined) checkOneOf('control', control, reuseControls)
  if (recompute !== undefined) checkNumber('recompute', recompute, 0, 1)
  if (control === undefined && recompute === undefined) return policy
  const change = (plan: ReusePlan): ReusePlan => {
    const chosen = recompute === undefined ? plan : recomputeShare(plan, recompute)
    if (control === 'unmoved') return { ...chosen, keys: 'stored' }
    return control === 'random-map' ? { ...chosen, pieces: randomPieces(chosen.pieces) } : chosen
  }
  const fixed = recompute !== undefined
  const { effects } = policy
  const slots = fixed ? effects.slots.filter((slot) => slot !== 'recompute') : effects.slots
  return {
    name: policy.name,
    effects: { ...effects, slots },
    bind: (engine) => policy.bind(engine),
    open: (sequence) => changedSession(policy.open(sequence), change, fixed),
  }
}

function changedSession(session: PolicySession, change: (plan: ReusePlan) => ReusePlan, fixed: boolean): PolicySession {
  const { fork } = session
  return {
    ...session,
    async reuse(prompt) {
      const offer = await session.reuse?.(prompt)
      if (!offer) return { kind: 'decline', reason: 'the policy never reuses' }
      return offer.kind === 'decline' ? offer : change(offer)
    },
    ...(session.recompute && !fixed && { recompute: (report: LayerReport) => session.recompute!(report) }),
    ...(fixed && { recompute: undefined }),
    ...(fork && { fork: (sequence) => changedSession(fork.call(session, sequence), change, fixed) }),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  } as PolicySession
}

/** The rows that no piece lends, the last row, and the first ones of all pieces up to a share of the borrowed rows. */
export function recomputeShare(plan: ReusePlan, share: number): ReusePlan {
  const { pieces, recompute } = plan
  const borrowed = pieces
    .flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => ({ row: start + i, depth: i })))
    .sort((a, b) => a.depth - b.depth || a.row - b.row)
  const lent = new Set(borrowed.map(({ row }) => row))
  const last = recompute.rows[recompute.rows.length - 1]
  const taken = borrowed.slice(0, Math.round(share * borrowed.length)).map(({ row }) => row)
  const rows = new Set([...recompute.rows.filter((row) => !lent.has(row)), ...taken, last])
  return { ...plan, recompute: { rows: Int32Array.from(rows).sort() } }
}

/** A piece a row, from rows of the same donor's pieces in an order drawn by lot. */
export function randomPieces(pieces: readonly BorrowedPiece[]): BorrowedPiece[] {
  const next = scattered(pieces.length)
  const rows = new Map<string, number[]>()
  for (const { donor, donorStart, start, end } of pieces) {
    const own = rows.get(donor) ?? []
    rows.set(donor, own)
    for (let i = 0; i < end - start; i++) own.push(donorStart + i)
  }
  const draw = (donor: string) => {
    const left = rows.get(donor) as number[]
    const [row] = left.splice(Math.floor(next() * left.length), 1)
    return row
  }
  return pieces.flatMap(({ donor, start, end }) =>
    Array.from({ length: end - start }, (_, i) => ({
      start: start + i,
      end: start + i + 1,
      donor,
      donorStart: draw(donor),
    })),
  )
}
