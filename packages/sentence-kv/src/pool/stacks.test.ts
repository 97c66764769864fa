import { type CachePolicy, compose, indicesOfRow, type RunList, runsOfIndices, type Selection } from '@kvasir/core'
import { policySuite, probePolicy, toyEngine, toyTokens, watchPolicy } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { sentenceKv } from '../sentence-kv.ts'

const prompt = toyTokens(
  'One sentence stands here. Another one follows it. A third is longer than both of them. '.repeat(3),
)
const decoded = [...toyTokens('and so on. It ends.')]

/** [kvHead]: rows of a prompt that stay, every third of them gone, and more for one head than for the other. */
const stayingOf = (numTokens: number) =>
  [0, Math.min(40, numTokens - 2)].map((first) =>
    Int32Array.from({ length: numTokens }, (_, row) => row).filter((row) => row >= first && row % 3 !== 1),
  )
const stays = stayingOf(prompt.length)
const keeps = () =>
  probePolicy({ slots: ['retain'] }, () => ({
    retain: async ({ last, kv }) => (last ? { keep: [0, 1].map(() => runsOfIndices(stayingOf(kv.numTokens))) } : {}),
  }))

/** What a policy was told to read at each layer of each step, and how many rows attention then read. */
async function run(policy: CachePolicy) {
  const lists: RunList[] = []
  const watched = watchPolicy(policy, {
    after: (hook, _, answer) => {
      if (hook !== 'select') return
      const selection = answer as Selection
      if (selection.kind !== 'runs') throw new Error(`expected runs, got ${selection.kind}`)
      lists.push(selection.runs)
    },
  })
  const failures: unknown[] = []
  const sequence = toyEngine().createSequence({ policy: watched, onQuarantine: ({ error }) => failures.push(error) })
  await sequence.prefill(prompt)
  const attended: number[] = []
  let before = 0
  for (const token of decoded) {
    await sequence.decode(token)
    const { attendedTokens } = sequence.report()
    attended.push(attendedTokens - before)
    before = attendedTokens
  }
  expect(failures).toEqual([])
  const read = lists.map((list) => Array.from({ length: list.rowStarts.length - 1 }, (_, at) => indicesOfRow(list, at)))
  return { attended, read, report: sequence.report() }
}

const orders: readonly [string, (one: CachePolicy, two: CachePolicy) => CachePolicy][] = [
  ['before', (selector, keeper) => compose(selector, keeper)],
  ['after', (selector, keeper) => compose(keeper, selector)],
]

describe.each(orders)('%s a policy that keeps a part of the prompt', (_, stack) => {
  test.each([30, 150, 400])('mode paper reads as many kept rows as a budget of %i holds', async (budgetTokens) => {
    const { attended, report } = await run(stack(sentenceKv({ mode: 'paper', budgetTokens }), keeps()))
    const readAt = (step: number) =>
      stays.reduce((sum, { length }) => sum + Math.min(budgetTokens, length + step + 1), 0)
    expect(attended).toEqual(decoded.map((_, step) => 2 * readAt(step)))
    expect(report.policy?.attendedTokens).toBe(report.attendedTokens)
  })

  test('mode released reads none of the others', async () => {
    const { read, report } = await run(stack(sentenceKv({ mode: 'released', budgetTokens: 70, keep: 1.5 }), keeps()))
    for (const heads of read) {
      for (const [head, rows] of heads.entries()) {
        const kept = new Set(stays[head >> 1])
        expect(rows.filter((row) => row < prompt.length && !kept.has(row))).toEqual([])
      }
    }
    expect(read[2].map(({ length }) => length)).toEqual([70, 70, 70, 70])
    expect(read[0].map(({ length }) => length)).toEqual(new Array(4).fill(105 + 1))
    expect(report.policy?.denseSteps).toBeGreaterThan(0)
  })
})

test.each(['paper', 'released'] as const)(
  'mode %s looks at its own window, whatever another policy observes',
  async (mode) => {
    const policy = () => sentenceKv({ mode, budgetTokens: 66, keep: 1 })
    const observes = probePolicy({ slots: ['retain'], observes: { windowTokens: 80, allRows: true } }, () => ({
      retain: async () => ({}),
    }))
    expect((await run(compose(policy(), observes))).read).toEqual((await run(policy())).read)
  },
)

describe('the contract of a policy, in such a stack', () => {
  policySuite(() => compose(keeps(), sentenceKv({ mode: 'paper', budgetTokens: 40 })), {
    describe,
    test,
    budgetTokens: 40,
  })
})
