import { memoryDonors, toyEngine, toyTokens } from '@kvasir/core/testing'
import { type DonorLibrary, donorLibrary } from '@kvasir/semshare-kv'
import { expect, test } from 'vitest'
import { makePolicy, parsePolicySpec, planArms } from '../policy-spec.ts'
import { CaseDonors } from './case-donors.ts'
import { type PairCase, pairCase } from './pair-case.ts'
import type { PairEngine, PairSequence } from './pair-engine.ts'
import { type PairBench, type PairOptions, runPairCase } from './pair-run.ts'

/** The toy engine, a token a byte. */
async function openBench(): Promise<PairBench<DonorLibrary> & { readonly scopes: string[] }> {
  const donors = new CaseDonors(await donorLibrary({ store: memoryDonors() }))
  const toy = toyEngine({ donors })
  const scopes: string[] = []
  const adapt = (sequence: ReturnType<typeof toy.createSequence>): PairSequence => {
    let numTokens = 0
    return {
      prefill(tokens, options) {
        numTokens = tokens.length
        return sequence.prefill(tokens, options)
      },
      decode: (token, options) => sequence.decode(token, options),
      fork: () => adapt(sequence.fork()),
      publish: () => sequence.publish(),
      reuse() {
        const { borrowedTokens } = sequence.report()
        return { accepted: borrowedTokens > 0, reason: '', recomputedShare: 1 - borrowedTokens / numTokens }
      },
      [Symbol.asyncDispose]: () => sequence[Symbol.asyncDispose](),
    }
  }
  const engine: PairEngine = {
    createSequence(options) {
      if (options.scope) scopes.push(options.scope.group)
      return adapt(toy.createSequence(options))
    },
    encodePrompt: toyTokens,
    encode: toyTokens,
    decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
    eosIds: [],
  }
  return { engine, donors, policyOf: (arm, library) => makePolicy(arm, { donors: library }), scopes }
}

const text =
  'The ferry leaves at nine. The bell rings twice. Nobody waits for the mail, and the gulls go back. '.repeat(3)
const moved = pairCase('shift', 'k=9', 300, 'x', {
  donor: { content: text },
  target: { content: `\u0001 ${text}`, front: { text: 'Somebody else came by', tokens: 9 } },
})

async function run(pair: PairCase, specs: readonly string[], options: PairOptions = { replyTokens: 4 }) {
  const bench = await openBench()
  const arms = planArms(specs.map(parsePolicySpec), [128])
  const rows = await runPairCase(bench, pair, arms, {}, options)
  expect(bench.donors.library.counts().donors).toBe(0)
  expect(new Set(bench.scopes).size).toBe(bench.scopes.length)
  return rows as readonly Readonly<Record<string, unknown>>[]
}

const scope = { tenant: 'a', group: 'b', model: 'c', layout: 'd', policy: 'e' }
const reuse = 'semshare-kv:fidelity=fast,minSaving=0'

test('a policy borrows from the donor of its case; the full cache beside it is the same as the full recompute', async () => {
  const [borrowed, full] = await run(moved, [reuse, 'full'])
  expect(borrowed).toMatchObject({ kind: 'shift', variant: 'k=9', accepted: true, donorTokens: text.length })
  expect(borrowed.targetTokens).toBe(text.length + 10)
  expect(borrowed.exactShare).toBeGreaterThan(0.9)
  expect(borrowed.recomputedShare).toBeLessThan(0.6)
  expect(borrowed.klNats).toBeGreaterThan(0)
  expect(full).toMatchObject({ accepted: false, recomputedShare: 1, klNats: 0, selfPplRatio: 1, top1: 1 })
})

test('what is computed grows up to everything, where nothing differs any more', async () => {
  const shares = [0, 0.5, 1]
  const rows = await run(
    moved,
    shares.map((share) => `${reuse},recompute=${share}`),
  )
  const kl = rows.map(({ klNats }) => klNats as number)
  expect(kl[0]).toBeGreaterThan(kl[2])
  expect(kl[2]).toBeLessThan(1e-9)
  expect(rows[2]).toMatchObject({ top1: 1 })
})

test('every control spoils what is borrowed', async () => {
  const open = `${reuse},probeRows=0,recompute=0`
  const [plain, ...spoilt] = await run(moved, [
    open,
    ...['random-map', 'zeroed', 'unmoved'].map((control) => `${open},control=${control}`),
  ])
  for (const row of spoilt) {
    expect(row.accepted).toBe(true)
    expect(row.klNats).toBeGreaterThan(plain.klNats as number)
  }
})

test('times are medians over the rounds, and the round to warm up is none of them', async () => {
  const [row] = await run(moved, [reuse], { replyTokens: 2, rounds: 3, warmUp: true })
  expect(row.ttftMs).toBeGreaterThan(0)
  expect(row.ttftFullMs).toBeGreaterThanOrEqual(row.prefillFullMs as number)
  expect(row.ttftRatio).toBeGreaterThan(0)
})

test('a reply about a swapped fact says whose it is', async () => {
  const fact = { answerPrefix: 'The lamp is', targetAnswer: ' red', donorAnswer: ' blue' }
  const content = (color: string) => `${text} The lamp is ${color}. What color is the lamp?`
  const pair = pairCase('swap', 'entity', 300, 'x', {
    donor: { content: content('blue') },
    target: { content: content('red') },
    fact,
  })
  const [borrowed, full] = await run(pair, [reuse, 'full'])
  for (const row of [borrowed, full]) expect(['target', 'donor', 'other']).toContain(row.follows)
  expect(full).toMatchObject({ follows: full.followsFull, reply: full.replyFull })
  expect(full.marginNats).toBeCloseTo(full.marginFullNats as number, 10)
})

test('a donor that is not published, or that the library refuses, is an error and no full recompute', async () => {
  const { engine, donors } = await openBench()
  await expect(donors.catchDonor(async () => {})).rejects.toThrow('publishes')
  await using sequence = engine.createSequence({
    policy: makePolicy(planArms([parsePolicySpec(reuse)], [1])[0]),
    scope,
  })
  await sequence.prefill(toyTokens(text))
  const donor = await donors.catchDonor(() => sequence.publish())
  const refusing = new CaseDonors({ put: async () => false, open: async () => null, remove() {} })
  await expect(refusing.lend(donor, scope, async () => 1)).rejects.toThrow('the library takes')
  expect(await donors.put(donor)).toBe(false)
})
