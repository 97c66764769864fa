import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PlanError, ProvenanceError, ScopeError } from './errors.ts'
import type { PublishPlan, ReusePlan } from './plans.ts'
import { exact, withLoss } from './provenance.ts'
import { runsOfIndices, runsOfSpans } from './run-list.ts'
import { mergeSpans } from './spans.ts'
import {
  uncoveredRows,
  validatePlacePlan,
  validatePublishPlan,
  validateRetainPlan,
  validateReusePlan,
  validateRowSet,
  validateSelection,
} from './validate-plan.ts'

const rows = (...list: number[]) => ({ rows: Int32Array.from(list) })

describe('validateSelection', () => {
  const rules = { numTokens: 20, numKvHeads: 2, capabilities: new Set(['select.runs', 'select.native:codes']) }
  const runs = (start: number, end: number, heads = 2) => ({
    kind: 'runs' as const,
    runs: runsOfSpans([{ start, end }], heads),
  })
  const native = (kind: string) => ({ kind: 'native' as const, selector: { kind } })

  test('accepts what the engine can read, with the current token', () => {
    validateSelection({ kind: 'all' }, { ...rules, capabilities: new Set() })
    validateSelection(runs(3, 20), rules)
    validateSelection(native('codes'), { ...rules, evicted: [] })
  })

  test.each([
    ['nothing', undefined, /all, runs or native/],
    ['another kind', { kind: 'some' }, /all, runs or native/],
    ['no current token', runs(3, 19), /index 19/],
    ['rows past the end', runs(3, 21), /indices in/],
    ['a list for other heads', runs(3, 20, 1), /Int32Array of 3 values/],
    ['no list', { kind: 'runs' }, /rowStarts/],
    ['an unknown native selector', native('hash'), /select.native:hash/],
    ['no native selector', { kind: 'native' }, /select.native:undefined/],
  ])('refuses %s', (_, selection, message) => {
    expect(() => validateSelection(selection as never, rules)).toThrow(PlanError)
    expect(() => validateSelection(selection as never, rules)).toThrow(message)
  })

  test('refuses runs where the engine reads none, and native selectors over evicted rows', () => {
    expect(() => validateSelection(runs(3, 20), { ...rules, capabilities: new Set() })).toThrow(/select.runs/)
    const evicted = [{ start: 1, end: 2 }]
    expect(() => validateSelection(native('codes'), { ...rules, evicted })).toThrow(/once rows are evicted/)
  })
})

describe('validateRetainPlan', () => {
  const layer = {
    numHeads: 4,
    numKvHeads: 2,
    headDim: 8,
    rope: null,
  }
  const rules = {
    numTokens: 20,
    shape: { layers: [layer, layer] },
    capabilities: new Set(['retain.evict', 'retain.per-head']),
  }
  const evict = [{ start: 3, end: 5 }]

  test('accepts keeping everything anywhere, and evicting where the engine can', () => {
    validateRetainPlan({}, { ...rules, capabilities: new Set() })
    validateRetainPlan({ evict: [] }, { ...rules, capabilities: new Set() })
    validateRetainPlan({ evict, reason: 'old' }, rules)
  })

  test('refuses no plan, spans out of order, and evicting where the engine cannot', () => {
    for (const wrong of [undefined, null, 'keep'])
      expect(() => validateRetainPlan(wrong as never, rules)).toThrow(PlanError)
    expect(() => validateRetainPlan({ evict: [{ start: 3, end: 21 }] }, rules)).toThrow(/plan.evict\[0\]/)
    expect(() => validateRetainPlan({ evict }, { ...rules, capabilities: new Set() })).toThrow(/retain.evict/)
  })

  test('wants what is kept as a list a layer with a row a KV head, of rows that stand', () => {
    const list = runsOfIndices([[0, 3], []])
    validateRetainPlan({ keep: [list, list] }, rules)
    expect(() => validateRetainPlan({ keep: [list] }, rules)).toThrow(/one a layer/)
    expect(() => validateRetainPlan({ keep: [list, runsOfIndices([[0]])] }, rules)).toThrow(/rowStarts/)
    expect(() => validateRetainPlan({ keep: [list, runsOfIndices([[20], []])] }, rules)).toThrow(/runs/)
    expect(() => validateRetainPlan({ keep: [list, list] }, { ...rules, capabilities: new Set() })).toThrow(
      /retain.per-head/,
    )
  })
})

describe('validateRowSet', () => {
  test('accepts ascending rows, nested ones, and none', () => {
    validateRowSet(rows(), { numTokens: 0 })
    validateRowSet(rows(0, 4, 9), { numTokens: 10, within: rows(0, 3, 4, 9), mustHold: rows(4) })
  })

  test.each([
    ['an array', { rows: [1] }, {}, /Int32Array/],
    ['nothing', undefined, {}, /Int32Array/],
    ['equal rows', rows(1, 1), {}, /rows\[1\]/],
    ['a negative row', rows(-1), {}, /rows\[0\]/],
    ['a row past the end', rows(10), {}, /rows\[0\]/],
    ['a row that the layer before skipped', rows(2), { within: rows(1, 3) }, /among those of the layer before/],
    ['a set without a row that it must hold', rows(1, 3), { mustHold: rows(1, 2) }, /a set without row 2/],
  ])('refuses %s', (_, set, more, message) => {
    expect(() => validateRowSet(set as never, { numTokens: 10, ...more })).toThrow(PlanError)
    expect(() => validateRowSet(set as never, { numTokens: 10, ...more })).toThrow(message)
  })
})

describe('validateReusePlan', () => {
  const piece = { start: 0, end: 6, donor: 'd', donorStart: 0 }
  const approximate = withLoss(exact, 'borrowed')
  const plan: ReusePlan = { kind: 'reuse', pieces: [piece], recompute: rows(6, 7), provenance: exact, reason: 'prefix' }

  test('accepts an exact prefix, and moved pieces that say so', () => {
    validateReusePlan(plan, { numTokens: 8 })
    const moved = [
      { ...piece, end: 3 },
      { ...piece, start: 5, end: 8, donorStart: 90 },
    ]
    validateReusePlan(
      { ...plan, pieces: moved, recompute: rows(0, 3, 4, 7), provenance: approximate },
      { numTokens: 8 },
    )
    validateReusePlan({ ...plan, pieces: [], recompute: rows(0, 1) }, { numTokens: 2 })
  })

  test.each([
    ['another kind', { kind: 'decline' }, /plan.kind/],
    ['pieces that overlap', { pieces: [piece, { ...piece, start: 5 }] }, /plan.pieces\[1\]/],
    ['a piece without a donor', { pieces: [{ ...piece, donor: '' }] }, /a donor id/],
    ['a negative donor row', { pieces: [{ ...piece, donorStart: -1 }] }, /donorStart >= 0/],
    ['a row that nobody computes', { recompute: rows(7) }, /without row 6/],
    ['a last row that is not computed', { pieces: [{ ...piece, end: 8 }], recompute: rows(0) }, /without row 7/],
    ['rows past the end', { recompute: rows(6, 7, 8) }, /ascending rows/],
  ])('refuses %s', (_, change, message) => {
    expect(() => validateReusePlan({ ...plan, ...change } as never, { numTokens: 8 })).toThrow(PlanError)
    expect(() => validateReusePlan({ ...plan, ...change } as never, { numTokens: 8 })).toThrow(message)
  })

  test.each([
    ['moved rows', [{ ...piece, donorStart: 3 }]],
    ['rows in the middle', [{ ...piece, start: 2, donorStart: 2 }]],
  ])('refuses %s under the name of exact', (_, pieces) => {
    const wrong = { ...plan, pieces, recompute: rows(0, 1, 6, 7) }
    expect(() => validateReusePlan(wrong, { numTokens: 8 })).toThrow(ProvenanceError)
    expect(() => validateReusePlan({ ...plan, provenance: undefined } as never, { numTokens: 8 })).toThrow(
      ProvenanceError,
    )
  })

  test('knows which rows no piece covers', () => {
    const span = fc.record({ start: fc.nat(30), end: fc.nat(30) })
    fc.assert(
      fc.property(fc.array(span), fc.integer({ min: 1, max: 30 }), (spans, numTokens) => {
        const pieces = mergeSpans(spans).filter(({ end }) => end <= numTokens)
        const all = Array.from({ length: numTokens }, (_, row) => row)
        const expected = all.filter(
          (row) => row === numTokens - 1 || !pieces.some((p) => row >= p.start && row < p.end),
        )
        expect([...uncoveredRows(pieces, numTokens).rows]).toEqual(expected)
      }),
    )
  })
})

describe('validatePlacePlan', () => {
  const rules = { numTokens: 20, tiers: ['host', 'disk'] }
  const move = { start: 0, end: 4, tier: 'host' }

  test('accepts moves to tiers that exist, and refuses others', () => {
    validatePlacePlan({ moves: [move, { start: 4, end: 8, tier: 'disk' }], reason: 'full' }, rules)
    expect(() => validatePlacePlan({ moves: [{ ...move, tier: 'tape' }], reason: '' }, rules)).toThrow(
      /one of host, disk/,
    )
    expect(() => validatePlacePlan({ moves: [move, move], reason: '' }, rules)).toThrow(PlanError)
    expect(() => validatePlacePlan(undefined as never, rules)).toThrow(PlanError)
  })
})

describe('validatePublishPlan', () => {
  const scope = { tenant: 'a', group: 'b', model: 'c', layout: 'd', policy: 'e' }
  const rules = { numTokens: 20, scope }
  const plan: PublishPlan = { spans: [{ start: 0, end: 20 }], scope: { ...scope }, provenance: exact }

  test('accepts exact rows under the scope that computed them', () => {
    validatePublishPlan(plan, rules)
    validatePublishPlan(plan, { ...rules, evicted: [] })
  })

  test('refuses approximate rows', () => {
    const wrong = { ...plan, provenance: withLoss(exact, 'quantised') }
    expect(() => validatePublishPlan(wrong, rules)).toThrow(ProvenanceError)
    expect(() => validatePublishPlan({ ...plan, provenance: undefined } as never, rules)).toThrow(ProvenanceError)
  })

  test.each(['tenant', 'group', 'model', 'layout', 'policy'])('refuses another %s', (name) => {
    expect(() => validatePublishPlan({ ...plan, scope: { ...scope, [name]: 'x' } }, rules)).toThrow(ScopeError)
  })

  test('refuses no scope, rows past the end and rows that are gone', () => {
    expect(() => validatePublishPlan({ ...plan, scope: undefined } as never, rules)).toThrow(ScopeError)
    expect(() => validatePublishPlan(plan, { ...rules, numTokens: 19 })).toThrow(PlanError)
    expect(() => validatePublishPlan(plan, { ...rules, evicted: [{ start: 3, end: 4 }] })).toThrow(/rows that are held/)
    validatePublishPlan({ ...plan, spans: [{ start: 4, end: 9 }] }, { ...rules, evicted: [{ start: 3, end: 4 }] })
  })
})
