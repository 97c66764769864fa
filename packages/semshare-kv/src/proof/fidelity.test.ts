// Fidelity of borrowed prompts on the bundled model. Its texts are of 130 to 1,600 tokens and its replies of 9, so that bounds
// that hold on average for long prompts have slack here, as each says.
import type { DonorKv, LayerReport, ReusePlan } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import type { Tokenizer } from '@kvasir/llama'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { fidelities as dials, type Fidelity } from '../kvasir/fidelities.ts'
import {
  likeliest,
  meanKlNats,
  perplexityRatio,
  type ReadOptions,
  type RealWorld,
  realWorld,
} from '../testing/real-world.ts'
import { articles, logbook, rewordedText, type Swap, supportLetters, swaps } from '../testing/texts.ts'

// A case reads several prompts in full, which takes its time where many tests share the cores.
vi.setConfig({ testTimeout: 300_000 })

const question = 'Which of these texts would you read first, and why? Answer:'
const [ferry, bread, library] = articles
const fidelities: readonly Fidelity[] = ['strict', 'balanced', 'fast']
const replyTokens = 8
/**
 * New tokens, starts of runs and the prompt's end, with a little for what is probed. In long prompts the starts are capped, and
 * less is computed than here.
 */
function mostShare(fidelity: Fidelity, newTokens: number, numTokens: number): number {
  const { startShare, editShare, tailTokens } = dials[fidelity]
  return startShare + editShare + (newTokens + tailTokens) / numTokens + 0.1
}

let world: RealWorld
let document: Int32Array
let donor: DonorKv

beforeAll(async () => {
  world = await realWorld()
  document = world.tokensOf(`${articles.join('')}${question}`)
  donor = await world.compute(document)
})
afterAll(async () => {
  expect(world.openDonors()).toBe(0)
  await world[Symbol.asyncDispose]()
})

/** Reads the target in full, and then in the given ways, each compared along the full reading's reply. */
async function compare<Way extends string>(
  target: Int32Array,
  ways: Readonly<Record<Way, ReadOptions>>,
  donors: readonly DonorKv[] = [donor],
) {
  const full = await world.full(target, replyTokens)
  const results = {} as Record<Way, Awaited<ReturnType<typeof compareOne>>>
  const compareOne = async (options: ReadOptions) => {
    const reading = await world.read(target, donors, { ...options, reply: full.reply })
    const kl = meanKlNats(full.logits, reading.logits)
    return { ...reading, kl, perplexity: perplexityRatio(full.reply, full.logits, reading.logits), full }
  }
  for (const [way, options] of Object.entries(ways)) results[way as Way] = await compareOne(options as ReadOptions)
  return results
}

const of = (fidelity: Fidelity): ReadOptions => ({ policy: { fidelity } })
/** As the policy says, but for keys that keep the rotation of their old positions; the guard looks away. */
const unturned = (fidelity: Fidelity): ReadOptions => ({
  ...of(fidelity),
  change: (plan) => ({ ...plan, keys: 'stored' }),
  narrow: ({ rows }) => rows,
})
/** Nothing computed but what nobody lends and the last row. */
const none = {
  startShare: 0,
  startMinTokens: 0,
  startMaxTokens: 0,
  editShare: 0,
  factReachTokens: 0,
  tailTokens: 1,
  probeRows: 0,
}
const plain = (fidelity: Fidelity): ReadOptions => ({ ...of(fidelity), narrow: ({ rows }) => rows })

function assertSameLogits(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  for (const [step, logits] of actual.entries()) assertSameBits(logits, expected[step], `step ${step}`)
}

/** Mean over the rows that somebody lent. */
function meanDeviation({ distances, deviations }: LayerReport): number {
  const lent = deviations.filter((_, at) => Number.isFinite(distances[at]))
  expect(lent.length).toBeGreaterThan(10)
  return lent.reduce((sum, deviation) => sum + deviation, 0) / lent.length
}

describe('1. identity', () => {
  test('the same prompt computes one row and has the bits of a full prefill', async () => {
    const ways = { strict: of('strict'), balanced: of('balanced'), fast: of('fast') }
    for (const it of Object.values(await compare(document, ways))) {
      expect(it.report).toMatchObject({ accepted: true, borrowedTokens: document.length })
      expect(it.report.recomputedShare).toBe(1 / document.length)
      expect(it.plan).toMatchObject({ provenance: { kind: 'exact' } })
      assertSameLogits(it.logits, it.full.logits)
      expect(it.kl).toBe(0)
    }
  })

  test('with a new question of about 30 tokens it computes no more than that', async () => {
    const other =
      'Now forget the loaf and the tools for a moment, and tell me in a few words what a traveller on the boat should bring along. Answer:'
    const target = world.tokensOf(`${articles.join('')}${other}`)
    const { it } = await compare(target, { it: of('strict') })
    const newTokens = world.tokensOf(other).length
    expect(it.report.accepted).toBe(true)
    expect(it.layers[0].length).toBeLessThanOrEqual(newTokens + 1)
    assertSameLogits(it.logits, it.full.logits)
  })
})

describe('2. shift', () => {
  const letters = swaps(12, 9).flatMap(({ donor: letter }, at) => (at % 3 === 0 ? letter : []))
  const front = [...supportLetters, rewordedText(0), rewordedText(1), ...letters].join('\n\n')
  const shifted = (count: number) => Int32Array.of(...world.tokensOf(front).subarray(0, count), ...document)

  test.each([1, 4, 16])('by %i tokens: few rows, close to the full prefill', async (count) => {
    const { fast, stored } = await compare(shifted(count), { fast: of('fast'), stored: unturned('fast') })
    expect(fast.report.accepted).toBe(true)
    expect(fast.report.recomputedShare).toBeLessThanOrEqual(mostShare('fast', count, document.length + count))
    expect(fast.kl).toBeLessThan(0.01 * 1.5)
    expect(fast.perplexity).toBeLessThan(1.03 + 0.05)
    // Keys of the first layer depend on token and position alone.
    expect(meanDeviation(fast.reports[0])).toBeLessThan(0.002)
    expect(meanDeviation(stored.reports[0])).toBeGreaterThan(0.02)
  })

  test.each([64, 1024])('by %i tokens: turned keys are close, keys as stored are not', async (count) => {
    const ways = { balanced: of('balanced'), stored: unturned('balanced') }
    const { balanced, stored } = await compare(shifted(count), ways)
    const numTokens = document.length + count
    expect(balanced.report.accepted).toBe(true)
    expect(balanced.report.recomputedShare).toBeLessThanOrEqual(mostShare('balanced', count, numTokens))
    // Where two thirds of the prompt are new, what is left of the donor's context is far off.
    expect(balanced.kl).toBeLessThan(0.02 * (count > document.length ? 4 : 2))
    expect(balanced.perplexity).toBeLessThan(count > document.length ? 1.25 : 1.1)
    expect(stored.layers[0]).toEqual(balanced.layers[0])
    expect(stored.kl).toBeGreaterThan(2 * balanced.kl)
    expect(meanDeviation(balanced.reports[0])).toBeLessThan(0.002)
    expect(meanDeviation(stored.reports[0])).toBeGreaterThan(0.1)
  })
})

test('3. segment reorder: turned keys are close, keys as stored are not', async () => {
  for (const order of [
    [library, ferry, bread],
    [bread, library, ferry],
    [library, bread, ferry],
  ]) {
    const target = world.tokensOf(`${order.join('')}${question}`)
    const ways = { fast: of('fast'), balanced: of('balanced'), stored: unturned('fast') }
    const { fast, balanced, stored } = await compare(target, ways)
    expect(fast.report).toMatchObject({ accepted: true, donors: [donor.id] })
    expect(fast.report.recomputedShare).toBeLessThanOrEqual(mostShare('fast', 0, target.length))
    expect(fast.kl).toBeLessThan(0.05)
    expect(fast.perplexity).toBeLessThan(1.06 + 0.05)
    expect(balanced.report.accepted).toBe(true)
    expect(balanced.report.recomputedShare).toBeLessThanOrEqual(mostShare('balanced', 0, target.length))
    // Short documents in another order are further off: 0.055 on average at 1,024 tokens (docs/results/pairs.md).
    expect(balanced.kl).toBeLessThan(0.025 * 2.5)
    expect(meanDeviation(fast.reports[0])).toBeLessThan(0.002)
    expect(meanDeviation(stored.reports[0])).toBeGreaterThan(0.1)
    // The reply of so short a prompt hardly tells the two apart; the rows themselves do.
    expect(meanDeviation(stored.reports[2])).toBeGreaterThan(3 * meanDeviation(fast.reports[2]))
  }
})

test('4. paraphrase 10-90 %: what is worded alike is borrowed, less of it each time, and the rest computed', async () => {
  const original = await world.compute(world.tokensOf(`${rewordedText(0)}${question}`))
  const shares: number[] = []
  for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
    const target = world.tokensOf(`Please read. ${rewordedText(share)}${question}`)
    const { it } = await compare(target, { it: of('balanced') }, [original])
    const { accepted, recomputedShare, reason } = it.report
    shares.push(recomputedShare)
    expect(it.kl, `${share} reworded`).toBeLessThan(0.02 * 1.5)
    if (accepted) {
      expect(recomputedShare).toBeLessThan(share + 0.4)
      expect(recomputedShare).toBeGreaterThan(share)
      continue
    }
    expect(share).toBeGreaterThan(0.5)
    expect(reason).toMatch(/stored prompt/)
    expect(it.kl).toBe(0)
  }
  shares.forEach((share, at) => {
    expect(share).toBeGreaterThanOrEqual(shares[at - 1] ?? 0)
  })
  expect(shares[0]).toBeLessThan(0.5)
  expect(shares.at(-1)).toBe(1)
})

describe('5. entity, number and negation swap', () => {
  const letters = 14
  const textOf = (tokens: readonly number[]) => (world.model.tokenizer as Tokenizer).decode(tokens)
  /** Long facts are told as far as the reply goes. */
  const tells = (reply: readonly number[], fact: string) => {
    const text = textOf(reply)
    return text.startsWith(fact) || fact.startsWith(text)
  }
  const stepsOf = (reply: readonly number[], fact: string) =>
    reply.findIndex((_, at) => textOf(reply.slice(0, at + 1)).length >= fact.length) + 1 || reply.length
  /** By how many nats the first token is likelier than the second, at the step where it is least. */
  const surenessOf = (steps: readonly Float32Array[]) =>
    Math.min(
      ...steps.map((logits) => {
        const first = likeliest(logits)
        return logits[first] - logits[likeliest(logits.with(first, Number.NEGATIVE_INFINITY))]
      }),
    )
  const promptOf = (text: string, { cue }: Swap, front: string) => world.tokensOf(`${front}${text}\n\n${cue}`)

  test('the reply tells the fact of the prompt, and never the one of the donor', async () => {
    const tally = { sure: 0, strict: 0, balanced: 0 }
    for (const [at, swap] of swaps(letters, 3).entries()) {
      const target = promptOf(swap.target, swap, at % 2 === 0 ? '' : 'From the board. ')
      const full = await world.full(target, 6)
      // What the small model is not sure of in its own full prefill, any rounding may turn.
      const isSure =
        tells(full.reply, swap.targetFact) &&
        surenessOf(full.logits.slice(0, stepsOf(full.reply, swap.targetFact))) > 0.25
      if (isSure) tally.sure++
      const source = await world.compute(promptOf(swap.donor, swap, ''))
      for (const fidelity of ['strict', 'balanced'] as const) {
        const policy = { fidelity, minSaving: 0.02 }
        const { logits, report } = await world.read(target, [source], { policy, reply: full.reply })
        const said = logits.slice(0, 6).map(likeliest)
        const what = `${fidelity}, ${swap.kind}: "${textOf(said)}"`
        expect(tells(said, swap.donorFact) && !tells(full.reply, swap.donorFact), what).toBe(false)
        if (!isSure) continue
        expect(tells(said, swap.targetFact), `${what} for "${swap.targetFact}"`).toBe(true)
        if (report.accepted) tally[fidelity]++
      }
    }
    expect(tally.sure).toBeGreaterThanOrEqual(24)
    expect(tally.strict).toBeGreaterThan(tally.sure / 2)
    expect(tally.balanced).toBeGreaterThan(tally.sure / 2)
  }, 300_000)
})

test('6. unrelated same-domain prompt: nothing is borrowed, and the reason is told', async () => {
  const [machine, jacket] = supportLetters.map((letter) => world.tokensOf(letter))
  const donors = [await world.compute(machine), donor]
  const ways = { strict: of('strict'), balanced: of('balanced'), fast: of('fast') }
  for (const it of Object.values(await compare(jacket, ways, donors))) {
    expect(it.report).toMatchObject({ accepted: false, borrowedTokens: 0, recomputedShare: 1 })
    expect(it.report.reason).toMatch(/no stored prompt|stored prompts lend/)
    assertSameBits(it.logits[0], it.full.logits[0])
  }
  const again = world.tokensOf(`Once more: ${supportLetters[0]}`)
  expect((await world.read(again, donors, of('balanced'))).report.accepted).toBe(true)
})

const probeLayers = 3

test('7. nested recompute sets: each layer computes rows of the layer before, new rows and the last one always', async () => {
  const target = world.tokensOf(`${logbook(2)}${library}${ferry}Nobody knew that before.\n${bread}${question}`)
  for (const fidelity of fidelities) {
    const { layers, plan, report } = await world.read(target, [donor], of(fidelity))
    const { pieces } = plan as ReusePlan
    expect(report.accepted).toBe(true)
    expect(layers).toHaveLength(1 + probeLayers)
    const isLent = (row: number) => pieces.some(({ start, end }) => start <= row && row < end)
    const unlent = Array.from(target.keys()).filter((row) => !isLent(row))
    expect(unlent.length).toBeGreaterThan(20)
    layers.forEach((rows, layer) => {
      const before = new Set(layers[layer - 1] ?? target.keys())
      expect(
        rows.every((row, at) => before.has(row) && (at === 0 || row > rows[at - 1])),
        `layer ${layer}`,
      ).toBe(true)
      expect(rows.at(-1)).toBe(target.length - 1)
      const held = new Set(rows)
      expect(unlent.filter((row) => !held.has(row))).toEqual([])
    })
    expect(layers.at(-1)?.length).toBeLessThan(layers[0].length)
    const deeper = (layers.at(-1)?.length ?? 0) * (world.model.config.numLayers - probeLayers)
    const probed = layers.slice(0, probeLayers).reduce((sum, rows) => sum + rows.length, 0)
    expect(report.recomputedPairs).toBe(probed + deeper)
  }
})

describe('8. random-map and zeroed-map controls', () => {
  const reordered = () => world.tokensOf(`${library}${ferry}${bread}${question}`)
  /** Every borrowed row from any row of the donor. */
  const randomMap = (plan: ReusePlan): ReusePlan => {
    const random = seededRandom(5)
    const rows = plan.pieces.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i))
    const pieces = rows.map((row) => {
      return { start: row, end: row + 1, donor: donor.id, donorStart: random.integer(donor.tokens.length) }
    })
    return { ...plan, pieces }
  }
  const zeroed = (): DonorKv => ({ ...donor, layer: async (layer) => (await donor.layer(layer)).map(() => 0) })

  test('are far from the full prefill, the real map is near', async () => {
    const ways = { real: plain('fast'), random: { ...plain('fast'), change: randomMap } }
    const { real, random } = await compare(reordered(), ways)
    const { nothing } = await compare(reordered(), { nothing: plain('fast') }, [zeroed()])
    expect(nothing.layers[0]).toEqual(real.layers[0])
    expect(random.layers[0]).toEqual(real.layers[0])
    expect(random.report.accepted && nothing.report.accepted).toBe(true)
    expect(random.kl).toBeGreaterThan(10 * real.kl)
    expect(nothing.kl).toBeGreaterThan(10 * real.kl)
  })

  test.each(fidelities)('are given up after the probe layers: %s', async (fidelity) => {
    const full = await world.full(reordered())
    for (const [kv, options] of [
      [donor, { ...of(fidelity), change: randomMap }],
      [zeroed(), of(fidelity)],
    ] as const) {
      const { report, logits } = await world.read(reordered(), [kv], options)
      expect(report).toMatchObject({ accepted: false, reason: expect.stringMatching(/deviate by .* after 3 layers/) })
      expect(report.recomputedShare).toBeGreaterThan(1)
      assertSameBits(logits[0], full.logits[0])
    }
  })
})

test('9. budget sweep 0-100 %: closer with more rows, and the full prefill at 100 %', async () => {
  const targets = [`${library}${ferry}${bread}${question}`, `${logbook(3)}${bread}${library}${ferry}${question}`]
  const open = { minSaving: -1, minCoverage: 0, maxDeviation: 1e6, raiseDeviation: 1e6 }
  const shares = [0, 0.25, 0.5, 0.75, 1]
  const kls = shares.map(() => 0)
  const recomputed = shares.map(() => 0)
  for (const target of targets.map((text) => world.tokensOf(text))) {
    const ways = Object.fromEntries(
      shares.map((deviationShare) => [deviationShare, { policy: { ...none, ...open, deviationShare } }]),
    )
    const found = await compare(target, ways)
    for (const [at, share] of shares.entries()) {
      const it = found[share]
      expect(it.report.accepted).toBe(true)
      kls[at] += it.kl / targets.length
      recomputed[at] += it.report.recomputedShare / targets.length
      if (share === 1) assertSameLogits(it.logits, it.full.logits)
    }
  }
  for (let at = 1; at < shares.length; at++) {
    expect(recomputed[at]).toBeGreaterThan(recomputed[at - 1])
    // Each point is of 18 distributions, so that near neighbours may change places.
    expect(kls[at], `${kls}`).toBeLessThan(kls[at - 1] * 1.15)
  }
  expect(kls[2]).toBeLessThan(kls[0] * 0.8)
  expect(kls.at(-1)).toBe(0)
  expect(recomputed.at(-1)).toBe(1)
})

test('10. time to first token: text in to first token out takes a fraction of a full prefill', async () => {
  const identical = `${articles.join('')}${question}`
  const shifted = `Read this first. ${identical}`
  const timed = async (text: string, borrows: boolean): Promise<number> => {
    const startMs = performance.now()
    const tokens = world.tokensOf(text)
    const tokenizedMs = performance.now() - startMs
    if (borrows) {
      const { firstLogitsMs, report } = await world.read(tokens, [donor], of('fast'))
      expect(report.recomputedShare).toBeLessThan(text === identical ? 0.01 : mostShare('fast', 4, tokens.length))
      return tokenizedMs + firstLogitsMs
    }
    likeliest((await world.full(tokens)).logits[0])
    return performance.now() - startMs
  }
  const best = { full: Infinity, identical: Infinity, shifted: Infinity }
  for (let round = 0; round < 4; round++) {
    best.full = Math.min(best.full, await timed(shifted, false))
    best.identical = Math.min(best.identical, await timed(identical, true))
    best.shifted = Math.min(best.shifted, await timed(shifted, true))
  }
  expect(best.full / best.identical).toBeGreaterThan(4)
  expect(best.full / best.shifted).toBeGreaterThan(2)
})
