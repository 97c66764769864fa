import { compose, type ReusePlan, validateReusePlan } from '@kvasir/core'
import { memoryDonors, nmse, policySuite, toyTokens, watchPolicy } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { donorLibrary } from './library/donor-library.ts'
import { type SemShareKvOptions, semShareKv } from './semshare-kv.ts'
import { proseOf, scope, toyWorld, type World } from './testing/world.ts'

const easy = { minPromptTokens: 8, minSaving: 0.01, minDonorTokens: 8, maxDeviation: 1e6, auditShare: 0 } as const

type Easy = Partial<SemShareKvOptions>

/** Computes the prompt in full and lends it. */
async function teach({ engine, library }: World, text: string): Promise<void> {
  await engine.generate(text, { policy: semShareKv({ donors: library, minPromptTokens: 1e6 }), scope, maxTokens: 0 })
}

/** Reads a prompt under the policy, and in full beside it. */
async function read({ engine, library }: World, text: string, options: Easy = {}) {
  const plans: unknown[] = []
  const layers: number[][] = []
  const own = semShareKv({ donors: library, ...easy, ...options })
  const policy = watchPolicy(own, {
    before: (hook, [report]) =>
      hook === 'recompute' && layers.push([...(report as { rows: { rows: Int32Array } }).rows.rows]),
    after: (hook, _, answer) => hook === 'reuse' && plans.push(answer),
  })
  const sequence = engine.createSequence({ policy, scope, onQuarantine: ({ error }) => expect.fail(String(error)) })
  const logits = await sequence.prefill(toyTokens(text))
  const { borrowedTokens } = sequence.report()
  const full = await engine.createSequence().prefill(toyTokens(text))
  const plan = await (plans[0] as Promise<ReusePlan | { kind: 'decline'; reason: string }>)
  return { plan, logits, full, borrowedTokens, own, sequence, layers }
}

const document = proseOf(1, 400)

describe('the ladder', () => {
  test('a prompt with a new end borrows the exact prefix: the bits of a full prefill, called exact', async () => {
    const world = await toyWorld()
    await teach(world, `${document}What is old?`)
    const { plan, logits, full, borrowedTokens } = await read(world, `${document}Who walks there?`)
    expect(plan).toMatchObject({ kind: 'reuse', provenance: { kind: 'exact' } })
    expect((plan as ReusePlan).pieces).toHaveLength(1)
    expect((plan as ReusePlan).pieces[0]).toMatchObject({ start: 0, donorStart: 0 })
    expect(borrowedTokens).toBeGreaterThanOrEqual(400)
    expect([...logits]).toEqual([...full])
  })

  test('the identical prompt computes one row', async () => {
    const world = await toyWorld()
    await teach(world, document)
    const { plan, logits, full, borrowedTokens } = await read(world, document)
    expect([...(plan as ReusePlan).recompute.rows]).toEqual([399])
    expect(borrowedTokens).toBe(399)
    expect([...logits]).toEqual([...full])
  })

  test('a shifted prompt borrows a moved run and says that it is approximate', async () => {
    const world = await toyWorld()
    await teach(world, document)
    const text = `Read this. ${document}`
    const { plan, logits, full } = await read(world, text, { fidelity: 'fast', probeRows: 0 })
    expect(plan).toMatchObject({ provenance: { kind: 'approximate', losses: ['borrowed', 'moved'] } })
    validateReusePlan(plan as ReusePlan, { numTokens: text.length })
    const { recompute, pieces } = plan as ReusePlan
    expect(pieces).toMatchObject([{ start: 11, end: 411, donorStart: 0 }])
    expect(recompute.rows.length).toBeLessThan(110)
    expect(nmse(logits, full)).toBeLessThan(0.2)
    expect(nmse(logits, full)).toBeGreaterThan(0)
  })

  test('segments in another order are borrowed', async () => {
    const world = await toyWorld()
    const [a, b, c] = [proseOf(2, 200), proseOf(3, 200), proseOf(4, 200)]
    await teach(world, a + b + c)
    const { plan } = await read(world, c + a + b)
    const from = (plan as ReusePlan).pieces.map(({ donorStart }) => donorStart)
    expect(from).toContain(0)
    expect(from[1]).toBeGreaterThanOrEqual(400)
    expect((plan as ReusePlan).reason).toMatch(/borrows \d+ of 600 tokens: \d+ runs of one stored prompt/)
  })

  test('several donors lend to one prompt', async () => {
    const world = await toyWorld()
    const [a, b] = [proseOf(5, 240), proseOf(6, 240)]
    await teach(world, `One: ${a}`)
    await teach(world, `Two: ${b}`)
    const { plan } = await read(world, `Both of them, ${b} and ${a}`)
    expect(new Set((plan as ReusePlan).pieces.map(({ donor }) => donor)).size).toBe(2)
  })

  test('with everything recomputed it is the full prefill', async () => {
    const world = await toyWorld()
    await teach(world, document)
    const text = `Read this. ${document}`
    const { logits, full } = await read(world, text, { deviationShare: 1, minSaving: -1, startShare: 0 })
    expect([...logits]).toEqual([...full])
  })

  test('more rows by deviation come closer to the full prefill', async () => {
    const world = await toyWorld()
    await teach(world, document)
    const text = `Read this. ${document}`
    const errors: number[] = []
    for (const deviationShare of [0, 0.4, 0.8]) {
      const { logits, full } = await read(world, text, { ...bare, deviationShare })
      errors.push(nmse(logits, full))
    }
    expect(errors[1]).toBeLessThan(errors[0])
    expect(errors[2]).toBeLessThan(errors[1])
  })
})

const bare = {
  deviationShare: 0,
  startShare: 0,
  startMinTokens: 0,
  editShare: 0,
  factReachTokens: 0,
  tailTokens: 1,
  probeRows: 0,
  minSaving: -1,
  raiseDeviation: 1e6,
}

describe('what is computed', () => {
  test('the rows of each layer are nested in those of the one before', async () => {
    const world = await toyWorld()
    await teach(world, document)
    for (const options of [{ deviationShare: 0.3, minSaving: -1 }, { probeRows: 16 }]) {
      const { plan, layers } = await read(world, `Read this. ${document}`, options)
      const rows = new Set((plan as ReusePlan).recompute.rows)
      expect(layers.length).toBeGreaterThan(0)
      expect(layers[0].every((row) => rows.has(row))).toBe(true)
    }
  })

  test('new tokens, starts of runs, the tail and facts near a start are computed', async () => {
    const world = await toyWorld()
    const text = `${proseOf(7, 100)}Anna owes 4711 to the bank. ${proseOf(8, 200)}`
    await teach(world, text)
    const options = { ...bare, startMinTokens: 3, startMaxTokens: 3, tailTokens: 20, factReachTokens: 150 }
    const { plan } = await read(world, `##${text}`, options)
    const rows = new Set((plan as ReusePlan).recompute.rows)
    const at = (word: string) => text.indexOf(word) + 2
    for (const row of [0, 1, 2, 3, 4, at('Anna'), at('4711'), at('4711') + 3, text.length + 1, text.length - 18]) {
      expect(rows, `row ${row}`).toContain(row)
    }
    expect(rows).not.toContain(at('owes') + 1)
    const far = await read(world, `##${text}`, { ...options, factReachTokens: 50 })
    expect(new Set((far.plan as ReusePlan).recompute.rows)).not.toContain(at('4711'))
  })

  test('a run no longer than its start is not borrowed', async () => {
    const world = await toyWorld()
    await teach(world, document)
    const { plan } = await read(world, `#${document.slice(0, 300)}#${document.slice(340, 360)}#end of all`, {
      ...bare,
      startMinTokens: 20,
      startMaxTokens: 40,
    })
    expect((plan as ReusePlan).pieces).toHaveLength(1)
  })
})

const library = await donorLibrary({ store: memoryDonors() })

describe('the suite of policies', () => {
  policySuite(() => semShareKv({ donors: library }), { describe, test })
})

test('it may stand in a stack', async () => {
  expect(compose(semShareKv({ donors: library })).effects.slots).toEqual(['reuse', 'recompute', 'publish'])
})

test('with a fuzzy share, single rows of near tokens are borrowed and nothing is computed for them', async () => {
  const world = await toyWorld()
  await teach(world, document)
  const text = `#${document.slice(0, 200)}${document.slice(200, 204).replace(/./g, 'q')}${document.slice(204)}`
  const options = { ...bare, minRunTokens: 12, fuzzyCosine: -1 }
  const without = await read(world, text, options)
  const { plan } = await read(world, text, { ...options, fuzzyShare: 1 })
  const computed = (plan as ReusePlan).recompute.rows
  expect(computed.length).toBeLessThan((without.plan as ReusePlan).recompute.rows.length)
  validateReusePlan(plan as ReusePlan, { numTokens: text.length })
})
