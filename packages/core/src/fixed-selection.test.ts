import { describe, expect, test } from 'vitest'
import { fixedSelection } from './fixed-selection.ts'
import { indicesOfRow } from './run-list.ts'
import { policySuite } from './testing/policy-suite.ts'
import { toyEngine } from './testing/toy-engine.ts'
import type { StepView } from './views.ts'

function sinksAndRecent({ numTokens }: { numTokens: number }) {
  return [
    { start: 0, end: Math.min(4, numTokens) },
    { start: Math.max(0, numTokens - 20), end: numTokens },
  ]
}

describe('fixedSelection', () => {
  policySuite(() => fixedSelection('window', sinksAndRecent), { describe, test, budgetTokens: 24 })

  test('joins spans and adds the current token', () => {
    const policy = fixedSelection('f', () => [
      { start: 6, end: 9 },
      { start: 0, end: 2 },
      { start: 1, end: 3 },
    ])
    const session = policy.open({ id: 's', profile: toyEngine().profile, scope: {} as never })
    const selection = session.select!({
      layer: null,
      numTokens: 30,
      queries: null,
      kv: { numTokens: 29 },
    } as unknown as StepView)
    expect(selection.kind === 'runs' && indicesOfRow(selection.runs, 1)).toEqual([0, 1, 2, 6, 7, 8, 29])
  })
})
