import { compose, fixedSelection } from '@kvasir/core'
import { assertSameBits, policySuite, toyEngine, toyTokens } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { fullCache } from './full.ts'

describe('the contract of a policy', () => {
  policySuite(fullCache, { describe, test })
})

test('it changes no bit, also in a stack', async () => {
  const engine = toyEngine()
  const tokens = toyTokens('Every row at every step.')
  const runs = await Promise.all(
    [undefined, fullCache(), compose(fullCache(), fullCache())].map(async (policy) => {
      const sequence = engine.createSequence(policy && { policy })
      await sequence.prefill(tokens)
      return { logits: await sequence.decode(65), report: sequence.report() }
    }),
  )
  for (const { logits, report } of runs) {
    assertSameBits(logits, runs[0].logits)
    expect(report.attendedTokens).toBe((tokens.length + 1) * 2 * 2)
  }
})

test('it leaves the choice to the others of a stack', () => {
  const window = fixedSelection('window', () => [])
  expect(compose(fullCache(), window).effects).toEqual(window.effects)
})
