import type { Capability } from './engine-profile.ts'
import { PlanError, ProvenanceError, ScopeError } from './errors.ts'
import type { KvShape } from './kv-shape.ts'
import type { PlacePlan, PublishPlan, RetainPlan, ReusePlan, RowSet, Selection } from './plans.ts'
import { type RunList, validateRunList } from './run-list.ts'
import { type Scope, sameScope } from './scope.ts'
import type { Span } from './segment.ts'
import { complementSpans, mergeSpans, validateSpans } from './spans.ts'

export interface SelectionRules {
  /** Rows of the sequence; the current token's is the last. */
  readonly numTokens: number
  readonly numKvHeads: number
  /** Rows of a list a query head. @default lists have a row a KV head */
  readonly numHeads?: number
  readonly capabilities: ReadonlySet<Capability>
  /** Evicted rows; native selectors need every row. @default [] */
  readonly evicted?: readonly Span[]
}

/** Throws a PlanError unless the engine can read this selection, and the current token is in it. */
export function validateSelection(selection: Selection, rules: SelectionRules): void {
  switch (selection?.kind) {
    case 'all':
      return
    case 'runs':
      requireCapability('select.runs', rules.capabilities)
      validateRunList(selection.runs, rowsOf(selection.runs, rules), rules.numTokens, { mustHold: rules.numTokens - 1 })
      if (selection.moved === undefined) return
      validateSpans('selection.moved', selection.moved, rules.numTokens)
      requireCapability('select.moved', rules.capabilities)
      selection.moved.forEach(({ by }, index) => {
        if (Number.isSafeInteger(by)) return
        throw new PlanError({ parameter: `selection.moved[${index}].by`, expected: 'an integer', got: by })
      })
      return
    case 'native':
      requireCapability(`select.native:${selection.selector?.kind}`, rules.capabilities)
      if (!rules.evicted?.length) return
      throw new PlanError({
        parameter: 'selection.kind',
        expected: 'all or runs, once rows are evicted',
        got: 'native',
      })
    default:
      throw new PlanError({ parameter: 'selection.kind', expected: 'all, runs or native', got: selection })
  }
}

/** Rows that the list must have: one a KV head, or one a query head where the engine reads such lists. */
function rowsOf(list: RunList, { numKvHeads, numHeads, capabilities }: SelectionRules): number {
  const perQueryHead = numHeads !== undefined && capabilities.has('select.per-query-head')
  return perQueryHead && list?.rowStarts?.length === numHeads + 1 ? numHeads : numKvHeads
}

export interface RetainRules {
  readonly numTokens: number
  readonly shape: KvShape
  readonly capabilities: ReadonlySet<Capability>
}

/** Throws a PlanError unless spans and lists are in order and the engine can carry them out. */
export function validateRetainPlan(plan: RetainPlan, rules: RetainRules): void {
  if (typeof plan !== 'object' || plan === null)
    throw new PlanError({ parameter: 'plan', expected: 'a RetainPlan', got: plan })
  if (plan.evict !== undefined) {
    validateSpans('plan.evict', plan.evict, rules.numTokens)
    if (plan.evict.length > 0) requireCapability('retain.evict', rules.capabilities)
  }
  if (plan.keep === undefined) return
  const { layers } = rules.shape
  requireCapability('retain.per-head', rules.capabilities)
  if (!Array.isArray(plan.keep) || plan.keep.length !== layers.length) {
    throw new PlanError({ parameter: 'plan.keep', expected: `${layers.length} lists, one a layer`, got: plan.keep })
  }
  plan.keep.forEach((list, layer) => {
    validateRunList(list, layers[layer].numKvHeads, rules.numTokens)
  })
}

export interface RowSetRules {
  readonly numTokens: number
  /** Rows of the layer before, which the set must be among. */
  readonly within?: RowSet
  /** Rows that must be in the set. */
  readonly mustHold?: RowSet
}

/** Throws a PlanError unless rows ascend in [0, numTokens), are among `within` and have `mustHold` among them. */
export function validateRowSet(set: RowSet, rules: RowSetRules): void {
  const { rows } = set ?? {}
  if (!(rows instanceof Int32Array)) throw new PlanError({ parameter: 'rows', expected: 'an Int32Array', got: rows })
  for (let at = 0; at < rows.length; at++) {
    const least = at === 0 ? 0 : rows[at - 1] + 1
    if (rows[at] >= least && rows[at] < rules.numTokens) continue
    const expected = `ascending rows in [${least}, ${rules.numTokens})`
    throw new PlanError({ parameter: `rows[${at}]`, expected, got: rows[at] })
  }
  const strange = rules.within && firstMissing(rows, rules.within.rows)
  if (strange !== undefined) {
    const remedy = 'A row that a layer skipped has no input for the next one.'
    throw new PlanError({ parameter: 'rows', expected: 'rows among those of the layer before', got: strange, remedy })
  }
  const missing = rules.mustHold && firstMissing(rules.mustHold.rows, rows)
  if (missing !== undefined) {
    const expected = 'every row that no piece covers, and the last row'
    throw new PlanError({ parameter: 'rows', expected, got: `a set without row ${missing}` })
  }
}

/** The first of `rows` that is not in `all`; both ascend. */
function firstMissing(rows: Int32Array, all: Int32Array): number | undefined {
  let at = 0
  for (const row of rows) {
    while (at < all.length && all[at] < row) at++
    if (all[at] !== row) return row
  }
  return undefined
}

/**
 * Rows of a prompt that every layer must compute: those that do not stand and that no piece covers, and the last, whose
 * logits are needed.
 */
export function uncoveredRows(pieces: readonly Span[], numTokens: number, standingTokens = 0): RowSet {
  const there = mergeSpans([{ start: 0, end: standingTokens }], pieces)
  const lent = there.map(({ start, end }) => ({ start, end: Math.min(end, numTokens - 1) }))
  const rows: number[] = []
  for (const { start, end } of complementSpans(lent, numTokens)) for (let row = start; row < end; row++) rows.push(row)
  return { rows: Int32Array.from(rows) }
}

/**
 * Throws a PlanError unless pieces ascend without overlap, and every row that none covers and the last one (its logits
 * are needed) is recomputed. Throws a ProvenanceError if anything but an unmoved prefix is called exact.
 */
export function validateReusePlan(
  plan: ReusePlan,
  rules: { readonly numTokens: number; readonly standingTokens?: number },
): void {
  if (plan?.kind !== 'reuse') throw new PlanError({ parameter: 'plan.kind', expected: 'reuse', got: plan?.kind })
  validateSpans('plan.pieces', plan.pieces, rules.numTokens)
  plan.pieces.forEach(({ donor, donorStart }, index) => {
    if (typeof donor === 'string' && donor !== '' && Number.isSafeInteger(donorStart) && donorStart >= 0) return
    const expected = 'a donor id and donorStart >= 0'
    throw new PlanError({ parameter: `plan.pieces[${index}]`, expected, got: [donor, donorStart] })
  })
  if (plan.keys !== undefined && plan.keys !== 'moved' && plan.keys !== 'stored') {
    throw new PlanError({ parameter: 'plan.keys', expected: "'moved' or 'stored'", got: plan.keys })
  }
  if (plan.watchLayers !== undefined && !(Number.isSafeInteger(plan.watchLayers) && plan.watchLayers >= 0)) {
    throw new PlanError({ parameter: 'plan.watchLayers', expected: 'an integer >= 0', got: plan.watchLayers })
  }
  const { numTokens, standingTokens = 0 } = rules
  validateRowSet(plan.recompute, { numTokens, mustHold: uncoveredRows(plan.pieces, numTokens, standingTokens) })
  if (plan.recompute.rows[0] < standingTokens) {
    const expected = `rows from ${standingTokens} on: those before it stand`
    throw new PlanError({ parameter: 'plan.recompute', expected, got: plan.recompute.rows[0] })
  }
  const borrowed = plan.pieces.some(({ start, donorStart }) => start !== 0 || donorStart !== 0)
  if (plan.provenance?.kind === 'approximate' || (plan.provenance?.kind === 'exact' && !borrowed)) return
  throw new ProvenanceError({
    parameter: 'plan.provenance',
    expected: 'approximate with its losses, where a piece is not an unmoved prefix',
    got: plan.provenance?.kind,
    remedy: "Use withLoss(provenance, 'borrowed') or withLoss(provenance, 'moved').",
  })
}

/** Throws a PlanError unless the moves ascend without overlap and name tiers that exist. */
export function validatePlacePlan(
  plan: PlacePlan,
  rules: { readonly numTokens: number; readonly tiers: readonly string[] },
): void {
  validateSpans('plan.moves', plan?.moves, rules.numTokens)
  plan.moves.forEach(({ tier }, index) => {
    if (rules.tiers.includes(tier)) return
    const expected = `one of ${rules.tiers.join(', ')}`
    throw new PlanError({ parameter: `plan.moves[${index}].tier`, expected, got: tier })
  })
}

/**
 * Throws a ProvenanceError unless the KV is exact, a ScopeError unless the plan has the scope of the sequence that
 * computed it, a PlanError unless the spans are in order and hold no evicted row.
 */
export function validatePublishPlan(
  plan: PublishPlan,
  rules: { readonly numTokens: number; readonly scope: Scope; readonly evicted?: readonly Span[] },
): void {
  validateSpans('plan.spans', plan?.spans, rules.numTokens)
  for (const gone of rules.evicted ?? []) {
    if (!plan.spans.some(({ start, end }) => start < gone.end && end > gone.start)) continue
    throw new PlanError({ parameter: 'plan.spans', expected: 'rows that are held', got: [gone.start, gone.end] })
  }
  if (plan.provenance?.kind !== 'exact') {
    throw new ProvenanceError({
      parameter: 'plan.provenance',
      expected: 'exact: only fully computed KV may be a donor',
      got: plan.provenance,
      remedy: 'Publish no spans of a sequence whose KV was pruned, quantised, moved or borrowed.',
    })
  }
  if (typeof plan.scope !== 'object' || plan.scope === null || !sameScope(plan.scope, rules.scope)) {
    const remedy = 'Pass on the scope of the SequenceContext; policies never widen it.'
    throw new ScopeError({ parameter: 'plan.scope', expected: 'the scope of the sequence', got: plan.scope, remedy })
  }
}

function requireCapability(capability: Capability, capabilities: ReadonlySet<Capability>): void {
  if (capabilities.has(capability)) return
  throw new PlanError({
    parameter: 'plan',
    expected: `one of what the engine can do: ${[...capabilities].join(', ')}`,
    got: capability,
    remedy: 'Check the profile in bind and throw a CapabilityError there.',
  })
}
