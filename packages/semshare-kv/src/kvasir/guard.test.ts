import { describe, expect, test } from 'vitest'
import { countConflicts } from './conflicts.ts'
import { costModel, rowsCost, spanCost } from './costs.ts'
import { chainsOf, changedContext, type Draft, draftPrefix, draftRuns } from './draft.ts'
import { fidelities } from './fidelities.ts'
import { judgeLayer } from './guard.ts'

const piece = (start: number, end: number, donorStart: number, donor = 'a') => ({ start, end, donor, donorStart })
const noFacts = (numTokens: number) => new Uint8Array(numTokens)

describe('the draft', () => {
  const dials = {
    ...fidelities.balanced,
    contextTokens: 10,
    startShare: 0.1,
    startMinTokens: 2,
    editShare: 0,
    tailTokens: 4,
    deviationShare: 0,
    probeRows: 0,
  }

  test('takes nothing of the prefix again but the last row', () => {
    const request = { numTokens: 50, standingTokens: 0, runs: [piece(0, 50, 0)], facts: noFacts(50).fill(1) }
    expect([...draftRuns(request, dials).computed]).toEqual([49])
    expect([...draftPrefix(request).computed]).toEqual([49])
  })

  test('leaves rows alone that stand, also where a run begins among them', () => {
    const request = {
      numTokens: 60,
      standingTokens: 20,
      runs: [piece(0, 10, 0), piece(10, 55, 90)],
      facts: noFacts(60),
    }
    const { pieces, computed, exactTokens } = draftRuns(request, dials)
    expect(exactTokens).toBe(20)
    expect(pieces).toEqual([piece(20, 55, 100)])
    expect([...computed]).toEqual([20, 21, 55, 56, 57, 58, 59])
    expect(draftPrefix(request).pieces).toEqual([])
  })

  test('keeps a prefix whole that reaches beyond what stands', () => {
    const request = { numTokens: 60, standingTokens: 20, runs: [piece(0, 40, 0)], facts: noFacts(60) }
    expect(draftPrefix(request)).toMatchObject({ pieces: [piece(0, 40, 0)], exactTokens: 40 })
    expect(draftPrefix(request).computed).toHaveLength(20)
  })

  test('chooses by deviation what starts and facts leave of the share', () => {
    const request = {
      numTokens: 200,
      standingTokens: 0,
      runs: [piece(10, 110, 0), piece(110, 190, 300)],
      facts: noFacts(200),
    }
    const draft = draftRuns(request, { ...dials, deviationShare: 0.3 })
    expect(draft.numChosen).toBe(0.3 * 180 - 10 - 8)
    expect(draft.probed).toHaveLength(180 - 18)
    expect(draftRuns(request, { ...dials, deviationShare: 0.1 })).toMatchObject({ numChosen: 0 })
  })

  test('computes less of a run where the donor has the same tokens before it', () => {
    const runs = [piece(0, 40, 0), piece(44, 144, 44), piece(150, 250, 700)]
    const request = { numTokens: 260, standingTokens: 0, runs, facts: noFacts(260) }
    expect(runs.slice(1).map((run) => changedContext(run, runs, 10))).toEqual([0.4, 1])
    expect(changedContext(runs[1], [...runs.slice(1), piece(0, 40, 0, 'b')], 10)).toBe(1)
    const { computed } = draftRuns(request, { ...dials, startShare: 0.5 })
    const firstOf = (start: number, end: number) => computed.filter((row) => row >= start && row < end).length
    expect([firstOf(0, 40), firstOf(44, 144), firstOf(150, 250)]).toEqual([0, 8, 50])
  })

  test('computes more behind an edit where there are few', () => {
    const runs = [piece(0, 500, 0), piece(501, 990, 501)]
    const request = { numTokens: 1000, standingTokens: 0, runs, facts: noFacts(1000) }
    const behindEdit = (editShare: number) =>
      draftRuns(request, { ...dials, startShare: 0, editShare }).computed.filter((row) => row > 500 && row < 990).length
    expect([0, 0.01, 0.5].map(behindEdit)).toEqual([2, 10, 16])
    const many = [runs[0], piece(501, 700, 501), piece(701, 990, 701)]
    const { computed } = draftRuns({ ...request, runs: many }, { ...dials, startShare: 0, editShare: 0.01 })
    expect(computed.filter((row) => row > 500 && row < 700)).toHaveLength(5)
  })

  test('takes runs with edits between them for one passage, also around a run from elsewhere', () => {
    const runs = [piece(0, 5, 0), piece(10, 30, 200), piece(32, 36, 500), piece(40, 60, 228), piece(70, 90, 20)]
    expect(chainsOf(runs, 20)).toEqual([[runs[0]], [runs[1], runs[3]], [runs[2]], [runs[4]]])
    expect(chainsOf([runs[1], piece(40, 60, 228, 'b')], 20)).toHaveLength(2)
  })

  test('computes the start of a moved passage over its edits, but not of one that begins with the prefix', () => {
    const runs = [piece(10, 30, 200), piece(32, 50, 222), piece(52, 90, 242)]
    const request = { numTokens: 100, standingTokens: 0, runs, facts: noFacts(100) }
    const half = { ...dials, startShare: 0.5, startMinTokens: 1 }
    const { computed, pieces } = draftRuns(request, half)
    expect([...computed].filter((row) => row >= 10 && row < 50)).toEqual(Array.from({ length: 40 }, (_, i) => 10 + i))
    expect(pieces).toEqual([piece(52, 90, 242)])
    const prefixed = draftRuns({ ...request, runs: [piece(0, 9, 0), piece(10, 30, 10), piece(32, 50, 32)] }, half)
    expect(prefixed.pieces).toHaveLength(3)
  })

  test('spreads probe rows over what is borrowed and not computed', () => {
    const request = { numTokens: 200, standingTokens: 0, runs: [piece(10, 190, 0)], facts: noFacts(200) }
    const { probed, computed } = draftRuns(request, { ...dials, probeRows: 8 })
    expect(probed).toHaveLength(8)
    expect([...probed].some((row) => computed.includes(row))).toBe(false)
    expect(probed[0]).toBeGreaterThanOrEqual(28)
    expect(probed[7]).toBeGreaterThan(170)
  })
})

describe('the cost model', () => {
  const model = costModel({
    layers: Array.from({ length: 30 }, () => ({ numHeads: 9, numKvHeads: 3, headDim: 64, rope: null })),
  })

  test('a span costs what its rows cost, at all layers or at some', () => {
    const rows = Int32Array.from({ length: 40 }, (_, i) => 60 + i)
    expect(spanCost(model, 60, 100)).toBeCloseTo(rowsCost(model, rows), 9)
    expect(rowsCost(model, rows, 3)).toBeCloseTo(rowsCost(model, rows) / 10, 9)
  })

  test('grows as the measured prefill of a small model does', () => {
    // 1,024 tokens at 412 and 4,096 at 294 tokens a second: 5.6 times the time.
    const ratio = spanCost(model, 0, 4096) / spanCost(model, 0, 1024)
    expect(ratio).toBeGreaterThan(5.2)
    expect(ratio).toBeLessThan(6)
  })
})

test('conflicts are places where facts stand in place of the donor’s', () => {
  const facts = new Uint8Array(100)
  facts[10] = facts[30] = facts[50] = facts[70] = 1
  const runs = [piece(0, 10, 0), piece(11, 30, 11), piece(31, 50, 30), piece(51, 70, 200), piece(71, 90, 221, 'b')]
  // 10 is replaced; 30 is put in between; 50 stands before other text; 70 before another donor's.
  expect(countConflicts(runs, facts)).toBe(1)
  expect(countConflicts(runs, new Uint8Array(100))).toBe(0)
})

describe('after the probe layers', () => {
  const draft: Draft = {
    numTokens: 10,
    exactTokens: 0,
    pieces: [piece(0, 9, 5)],
    computed: Int32Array.of(0, 9),
    probed: Int32Array.of(2, 3, 5, 7),
    numFuzzy: 0,
    numChosen: 1,
  }
  const report = (deviations: number[]) => ({
    layer: 2,
    rows: { rows: Int32Array.of(0, 2, 3, 5, 7, 9) },
    distances: Float32Array.from(deviations),
    deviations: Float32Array.from(deviations),
  })
  const infinity = Number.POSITIVE_INFINITY

  test('the rows that deviate most go on, with those that are always computed', () => {
    const next = judgeLayer(report([9, 0.1, 0.3, 0.2, 0.4, infinity]), draft, { raiseDeviation: 1, maxDeviation: 2 })
    expect(next).toEqual({ rows: Int32Array.of(0, 7, 9) })
  })

  test('twice as many go on where the mean is high', () => {
    const next = judgeLayer(report([9, 0.1, 0.3, 0.2, 0.4, infinity]), draft, { raiseDeviation: 0.2, maxDeviation: 2 })
    expect(next).toEqual({ rows: Int32Array.of(0, 3, 7, 9) })
  })

  test('nothing is borrowed where it is too high, or no number', () => {
    const limits = { raiseDeviation: 0.1, maxDeviation: 0.2 }
    expect(judgeLayer(report([0, 0.1, 0.3, 0.2, 0.4, infinity]), draft, limits)).toEqual({
      kind: 'decline',
      reason: 'borrowed rows deviate by 0.25 on average after 3 layers, and 0.2 is allowed',
    })
    expect(judgeLayer(report([0, Number.NaN, 0, 0, 0, 0]), draft, limits)).toMatchObject({ kind: 'decline' })
  })
})
